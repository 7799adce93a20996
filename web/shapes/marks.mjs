/** What is marked beside badges: the wire and the socket that a wrong connection comes in by, and a text under the pointer. */

const RED = "#ff5a4f";

/** Wires that are red now, and their colours before. @type {Map<any, any>} */
const wires = new Map();
/** Sockets that have a red ring now, and their nodes. @type {Map<any, any>} */
const sockets = new Map();

/**
 * Mark these inputs, and no others.
 * @param {{node: any, input: any}[]} wrong
 */
export function markInputs(wrong) {
  const told = new Set([...sockets.values(), ...wrong.map(({ node }) => node)]);
  for (const [link, color] of wires) if (link.color === RED) link.color = color;
  for (const socket of sockets.keys()) socket.hasErrors = false;
  wires.clear();
  sockets.clear();
  for (const { node, input } of wrong) {
    const link = node.graph?.getLink?.(input.link);
    if (link) {
      wires.set(link, link.color ?? "");
      link.color = RED;
    }
    sockets.set(input, node);
    input.hasErrors = true;
  }
  for (const node of told) node.graph?.trigger?.("node:slot-errors:changed", { nodeId: node.id });
}

/** Draw the red wires over the others; ComfyUI's own renderer knows colours of types only. @param {any} canvas */
export function drawWires(canvas) {
  const { onDrawForeground } = canvas;
  canvas.onDrawForeground = function (/** @type {CanvasRenderingContext2D} */ ctx, /** @type {any[]} */ ...args) {
    onDrawForeground?.call(this, ctx, ...args);
    if (!wires.size) return;
    ctx.save();
    ctx.strokeStyle = RED;
    ctx.lineWidth = 5;
    for (const link of wires.keys()) {
      if (link.path && !link._dragging && canvas.graph?.getLink(link.id) === link) ctx.stroke(link.path);
    }
    ctx.restore();
  };
}

/** A text beside the pointer, for what is drawn on the canvas and no element. */
export class Tip {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "visionsmith-tip";
    this.element.setAttribute("role", "tooltip");
    this.element.hidden = true;
    document.body.append(this.element);
  }

  /** @param {string} text nothing hides it @param {number} [x] @param {number} [y] */
  show(text, x = 0, y = 0) {
    this.element.hidden = !text;
    if (!text) return;
    this.element.textContent = text;
    this.element.style.left = `${Math.max(8, Math.min(x + 12, window.innerWidth - this.element.offsetWidth - 8))}px`;
    this.element.style.top = `${Math.max(8, y - this.element.offsetHeight - 12)}px`;
  }
}

/** What a screen reader is told when something becomes wrong. */
export class Announcer {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "visionsmith-announcer";
    this.element.setAttribute("role", "status");
    document.body.append(this.element);
  }

  /** @param {string[]} sentences */
  say(sentences) {
    const text = sentences.join(" ");
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
