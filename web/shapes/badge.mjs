import { t } from "../words/text.mjs";

/**
 * The badge of a layer, in both renderers: LiteGraph calls `draw`, Vue reads the properties and makes an element of them.
 * @typedef {import("./words.mjs").Words} Words
 */

/** Foreground and background; more than 4.5 to 1 each. */
export const COLORS = {
  known: ["#e4f0f7", "#1f4256"],
  wrong: ["#ffffff", "#b3261e"],
  waits: ["#d0d4da", "#3a3f46"],
};
const GAP = 2;
/** Badges by node, so that a node never has two. @type {WeakMap<any, any>} */
const badges = new WeakMap();

/** The badge of a node; if there is none it is made, with these first words. @param {any} node @param {string} [first] */
export function badgeOf(node, first = "…") {
  let badge = badges.get(node);
  if (!badge) {
    badge = makeBadge(node, first);
    badges.set(node, badge);
    node.badges.push(badge);
  }
  return badge;
}

/** @param {any} node */
export const hasBadge = (node) => badges.has(node);

/** The badge below a point of the canvas, if there is one. @param {any[]} nodes @param {number} x @param {number} y */
export function badgeAt(nodes, x, y) {
  return nodes.map((node) => badges.get(node)?.at(x, y)).find(Boolean);
}

/** @param {any} node @param {string} first */
function makeBadge(node, first) {
  const badge = new window.LGraphBadge({ text: "", fontSize: 11, height: 18 });
  /** What Vue wrapped the badge in: it only notices what is written through that. @type {Set<any>} */
  const wraps = new Set();
  /** What fits on the node, how wide that is, and for what it was measured: measuring takes longer than drawing. */
  let fitted = { text: "", room: 0, drawn: "", width: 0 };
  /** How wide the badges beside this one are, and with which texts. */
  let beside = { texts: "", width: 0 };

  Object.defineProperties(badge, {
    words: { value: "", writable: true },
    text: {
      enumerable: true, // Vue copies enumerable properties only
      get() {
        if (this !== badge && wraps.size < 9) wraps.add(this);
        return this.words;
      },
    },
    say: {
      /** @param {Words} words @returns {boolean} whether that is new */
      value({ kind, text, long }) {
        if (badge.words === text && badge.title === long) return false;
        const [fgColor, bgColor] = COLORS[kind];
        const change = { fgColor, bgColor, title: long, "aria-label": long, class: `visionsmith-shape ${kind}`, words: text };
        for (const one of [...wraps, badge]) Object.assign(one, change);
        return true;
      },
    },
    at: {
      /** @param {number} x @param {number} y */
      value(x, y) {
        const [left, top, width, height] = badge.boundingRect;
        const [dx, dy] = [x - node.pos[0] - left, y - node.pos[1] - top];
        return badge.words && dx >= 0 && dx <= width && dy >= 0 && dy <= height ? badge : undefined;
      },
    },
    /** It has no width for LiteGraph, which would move the other badges for it. */
    getWidth: { value: () => 0 },
    draw: {
      /** At the left above the title; in a row of its own where the other badges leave too little room. @param {any} ctx @param {number} _ @param {number} y */
      value(ctx, _, y) {
        if (!badge.words) return;
        let texts = "";
        for (const one of node.badges) {
          const other = typeof one === "function" ? one() : one;
          if (!other.say) texts += `${other.text}\n`;
        }
        if (beside.texts !== texts) {
          const others = node.badges.map((/** @type {any} */ one) => (typeof one === "function" ? one() : one)).filter((/** @type {any} */ one) => !one.say);
          beside = { texts, width: others.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.getWidth(ctx) + GAP, GAP) };
        }
        // ComfyUI's buttons lie over the second row of a selected node, so there the words are cut to what the first has left
        const room = node.selected ? Math.max(node.width - beside.width, node.width / 2) : node.width;
        if (fitted.text !== badge.words || fitted.room !== room) {
          const drawn = fit(ctx, badge, room);
          fitted = { text: badge.words, room, drawn, width: widthOf(ctx, badge, drawn) };
        }
        const { width } = fitted;
        const row = width + beside.width > node.width && !node.selected ? y - badge.height - GAP - 2 : y;
        ctx.save();
        ctx.fillStyle = badge.bgColor;
        ctx.beginPath();
        ctx.roundRect(0, row, width, badge.height, badge.cornerRadius);
        ctx.fill();
        ctx.font = `${badge.fontSize}px sans-serif`;
        ctx.fillStyle = badge.fgColor;
        ctx.textAlign = "left";
        ctx.textBaseline = "middle";
        ctx.fillText(fitted.drawn, badge.padding, row + badge.height / 2 + 1);
        ctx.restore();
        Object.assign(badge._boundingRect, [0, row, width, badge.height]);
      },
    },
  });
  badge.say({ kind: "waits", text: first, long: first && t("not known yet") });
  return badge;
}

/** @param {any} ctx @param {any} badge @param {string} text */
function widthOf(ctx, badge, text) {
  const { font } = ctx;
  ctx.font = `${badge.fontSize}px sans-serif`;
  const { width } = ctx.measureText(text);
  ctx.font = font;
  return width + 2 * badge.padding;
}

/** As much of the text as the node is wide. @param {any} ctx @param {any} badge @param {number} width */
function fit(ctx, badge, width) {
  const text = badge.words;
  if (widthOf(ctx, badge, text) <= width) return text;
  let [short, long] = [0, text.length];
  while (long - short > 1) {
    const middle = (short + long) >> 1;
    if (widthOf(ctx, badge, `${text.slice(0, middle)}…`) <= width) short = middle;
    else long = middle;
  }
  return `${text.slice(0, short).trimEnd()}…`;
}
