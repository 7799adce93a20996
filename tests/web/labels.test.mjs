/** The label editor without a page: which pixels are drawn, what undo brings back, how labels travel, what keys mean. */
import assert from "node:assert/strict";
import test from "node:test";
import zlib from "node:zlib";
import { KEYS, meaningOf } from "../../web/labels/keys.mjs";
import { IGNORE, Mask, TILE } from "../../web/labels/mask.mjs";
import { flood, polygon, snapped, stroke } from "../../web/labels/raster.mjs";
import { LabelServer, pack, unpack } from "../../web/labels/server.mjs";
import { Session } from "../../web/labels/session.mjs";

const SIZE = { width: 40, height: 30 };

/** Numbers that look random and are the same every time. */
function* numbers(seed = 1) {
  for (let state = seed; ; ) yield (state = (state * 48271) % 2147483647) / 2147483647;
}

/** What `draw` covers, as rows of text; a pixel that is drawn twice is an X. */
function drawn(draw, { width, height } = SIZE) {
  const pixels = Array.from({ length: height }, () => Array(width).fill("."));
  draw((y, from, to) => {
    assert.ok(y >= 0 && y < height && from >= 0 && to <= width && from < to);
    for (let x = from; x < to; x++) pixels[y][x] = pixels[y][x] === "." ? "#" : "X";
  });
  return pixels.map((row) => row.join(""));
}

/** The same by asking every pixel. */
const asked = (covers, { width, height } = SIZE) =>
  [...Array(height).keys()].map((y) => [...Array(width).keys()].map((x) => (covers(x + 0.5, y + 0.5) ? "#" : ".")).join(""));

/** The square of four times the distance from a segment whose ends are whole or half numbers, times its length squared: whole numbers only. */
function near(a, b, diameter, x, y) {
  const [ax, ay, bx, by, px, py] = [a.x, a.y, b.x, b.y, x, y].map((value) => BigInt(Math.round(2 * value)));
  const [dx, dy, qx, qy, r] = [bx - ax, by - ay, px - ax, py - ay, BigInt(diameter)];
  const [along, length] = [qx * dx + qy * dy, dx * dx + dy * dy];
  if (along <= 0n) return qx * qx + qy * qy <= r * r;
  if (along >= length) return (px - bx) ** 2n + (py - by) ** 2n <= r * r;
  return (qx * dy - qy * dx) ** 2n <= r * r * length;
}

test("a stroke is every pixel within half a diameter of its line", () => {
  const random = numbers();
  const next = () => random.next().value;
  for (let i = 0; i < 400; i++) {
    const diameter = 1 + Math.floor(next() * 14);
    const place = () => snapped({ x: next() * 60 - 10, y: next() * 50 - 10 }, diameter);
    const a = place();
    const b = i % 5 === 0 ? a : i % 5 === 1 ? { x: a.x, y: place().y } : i % 5 === 2 ? { x: place().x, y: a.y } : place();
    const found = drawn((row) => stroke(a, b, diameter, SIZE, row));
    assert.deepEqual(found, asked((x, y) => near(a, b, diameter, x, y)), JSON.stringify({ a, b, diameter }));
  }
});

test("brushes of one to five pixels", () => {
  const dab = (diameter) => {
    const place = snapped({ x: 3.4, y: 3.4 }, diameter);
    return drawn((row) => stroke(place, place, diameter, { width: 7, height: 7 }, row), { width: 7, height: 7 }).filter((row) => row.includes("#"));
  };
  assert.deepEqual(dab(1), ["...#..."]);
  assert.deepEqual(dab(2), ["..##...", "..##..."]);
  assert.deepEqual(dab(3), ["..###..", "..###..", "..###.."]);
  assert.deepEqual(dab(4), ["..##...", ".####..", ".####..", "..##..."]);
  assert.deepEqual(dab(5), ["..###..", ".#####.", ".#####.", ".#####.", "..###.."]);
});

test("a polygon is every pixel whose centre is inside, by the even-odd rule", () => {
  const random = numbers(7);
  const next = () => random.next().value;
  for (let i = 0; i < 300; i++) {
    const corners = Array.from({ length: 3 + (i % 6) }, () => ({ x: Math.round(next() * 60) - 10, y: Math.round(next() * 50) - 10 }));
    const inside = (x, y) => {
      let odd = false;
      corners.forEach((a, index) => {
        const b = corners[(index + 1) % corners.length];
        // left of the edge, or just on it, in whole numbers
        if (a.y <= y !== b.y <= y) {
          const cross = (x - a.x) * (b.y - a.y) - (y - a.y) * (b.x - a.x);
          if (b.y > a.y ? cross >= 0 : cross <= 0) odd = !odd;
        }
      });
      return odd;
    };
    assert.deepEqual(drawn((row) => polygon(corners, SIZE, row)), asked(inside), JSON.stringify(corners));
  }
  const square = [{ x: 2, y: 1 }, { x: 5, y: 1 }, { x: 5, y: 3 }, { x: 2, y: 3 }];
  assert.equal(drawn((row) => polygon(square, SIZE, row)).join("").replaceAll(".", "").length, 6);
});

test("a fill stays within its class and goes round corners, not across them", () => {
  const rows = ["..#..", ".##..", "#...#", "..#.."];
  const labels = Uint8Array.from(rows.join(""), (letter) => (letter === "#" ? 1 : 0));
  flood(labels, { width: 5, height: 4 }, 4, 0, (y, from, to) => labels.fill(7, y * 5 + from, y * 5 + to));
  const found = Array.from({ length: 4 }, (_, y) => [...labels.subarray(y * 5, y * 5 + 5)].join(""));
  assert.deepEqual(found, ["00177", "01177", "17771", "77177"]);
});

/** A step that draws a random rectangle of a class. */
function rectangle(mask, next, label, backgroundOnly = false) {
  const [x, y] = [Math.floor(next() * (mask.width - 1)), Math.floor(next() * (mask.height - 1))];
  const to = x + 1 + Math.floor(next() * (mask.width - x - 1));
  mask.begin();
  for (let line = y; line < Math.min(mask.height, y + 1 + Math.floor(next() * 150)); line++) mask.row(line, x, to, label, backgroundOnly);
  return mask.commit();
}

test("undo and redo lead through every state, byte for byte", () => {
  const random = numbers(3);
  const next = () => random.next().value;
  const mask = new Mask(3 * TILE + 17, 2 * TILE + 5);
  const states = [mask.labels.slice()];
  for (let i = 0; i < 120; i++) if (rectangle(mask, next, i % 7 ? 1 + (i % 5) : IGNORE, i % 3 === 0)) states.push(mask.labels.slice());
  assert.ok(states.length > 100);
  for (let i = states.length - 2; i >= 0; i--) {
    mask.undo();
    assert.deepEqual(mask.labels, states[i]);
  }
  assert.equal(mask.dirty, false);
  mask.undo();
  for (let i = 1; i < states.length; i++) {
    mask.redo();
    assert.deepEqual(mask.labels, states[i]);
  }
  for (let i = 0; i < 5; i++) mask.undo();
  mask.saved = mask.state;
  assert.equal(mask.dirty, false);
  mask.undo();
  assert.equal(mask.dirty, true);
  mask.redo();
  assert.equal(mask.dirty, false);
  rectangle(mask, next, 6);
  assert.equal(mask.future.length, 0);
});

test("a step that changes nothing is none, one that is given up leaves nothing", () => {
  const mask = new Mask(100, 80);
  mask.begin();
  mask.row(3, 0, 50, 0);
  assert.equal(mask.commit(), false);
  mask.begin();
  mask.row(3, 0, 50, 2);
  mask.cancel();
  assert.equal(mask.past.length, 0);
  assert.ok(mask.labels.every((label) => label === 0));
  assert.throws(() => mask.row(0, 0, 1, 1));
  assert.throws(() => new Mask(3, 3, new Uint8Array(8)));
});

test("steps on a 4K picture keep what they changed, not the picture", () => {
  const mask = new Mask(3840, 2160);
  mask.begin();
  for (let y = 0; y < 2160; y++) mask.row(y, 0, 3840, 1); // all of it, but of one class before
  mask.commit();
  for (let i = 0; i < 60; i++) {
    mask.begin();
    stroke({ x: 100.5, y: 50.5 + 20 * i }, { x: 700.5, y: 60.5 + 20 * i }, 9, mask, (y, from, to) => mask.row(y, from, to, 2));
    mask.commit();
  }
  const kept = mask.past.flatMap(({ patch }) => [...patch.values()]).reduce((sum, tile) => sum + (tile.length ?? 8), 0);
  assert.ok(kept < 8e6, String(kept)); // 61 masks are 506 MB
  for (let i = 0; i < 61; i++) mask.undo();
  assert.ok(mask.labels.every((label) => label === 0));
});

test("labels travel as zlib reads them", async () => {
  const labels = Uint8Array.from({ length: 70_001 }, (_, i) => (i * i) % 256);
  const text = await pack(labels);
  assert.deepEqual(new Uint8Array(zlib.inflateSync(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)))), labels);
  assert.deepEqual(await unpack(text), labels);
  assert.deepEqual(await unpack(zlib.deflateSync(labels).toString("base64")), labels);
});

test("what keys mean", () => {
  const key = (text, more = {}) => meaningOf({ key: text, code: "", ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...more });
  assert.deepEqual(key("b"), { action: "brush" });
  assert.deepEqual(key("B", { shiftKey: true }), null);
  assert.deepEqual(key("и", { code: "KeyB" }), { action: "brush" });
  assert.deepEqual(key("z", { ctrlKey: true }), { action: "undo" });
  assert.deepEqual(key("Z", { ctrlKey: true, shiftKey: true }), { action: "redo" });
  assert.deepEqual(key("z", { metaKey: true }), { action: "undo" });
  assert.deepEqual(key("?", { shiftKey: true }), { action: "help" });
  assert.deepEqual(key("3"), { label: 3 });
  assert.deepEqual(key("&", { code: "Digit1" }), { label: 1 });
  assert.deepEqual(key("3", { ctrlKey: true }), null);
  assert.deepEqual(key("ArrowUp", { shiftKey: true }), { step: [0, -10] });
  assert.deepEqual(key("b", { altKey: true }), null);
  const every = Object.values(KEYS).flat().flatMap(({ keys }) => keys);
  assert.equal(new Set(every).size, every.length);
});

/** A server of three pictures in memory, which can be made to fail. */
function fakeServer() {
  const saved = new Map();
  const server = {
    fails: "",
    asked: [],
    picture: async (name) => (server.asked.push(name), { width: 8, height: 4 }),
    mask: async (name) => ({ width: 8, height: 4, version: saved.has(name) ? "1" : "", labels: saved.get(name) ?? null }),
    save: async (name, mask, version) => {
      const labels = mask.labels.slice();
      await null;
      if (server.fails && version !== null) throw new Error(server.fails);
      saved.set(name, labels);
      return "2";
    },
  };
  const listing = { folder: "f", coding: "index", classes: [], pictures: ["a", "b", "c"].map((name) => ({ name, labelled: false, shared: false })) };
  return { server, saved, listing };
}

const draw = (session, label = 1) => {
  session.mask.begin();
  session.mask.row(1, 2, 5, label);
  session.mask.commit();
};

test("the next picture saves this one, and only if it changed", async () => {
  const { server, saved, listing } = fakeServer();
  const session = new Session(server, listing, () => {});
  await session.open(0);
  assert.equal(session.state.text, "No mask yet");
  await session.open(1);
  assert.equal(saved.size, 0);
  draw(session);
  assert.equal(session.state.kind, "changed");
  await session.open(2);
  assert.deepEqual([...saved.keys()], ["b"]);
  assert.equal(saved.get("b")[8 + 2], 1);
  assert.equal(listing.pictures[1].labelled, true);
  assert.equal(session.nextUnlabelled(), 0);
  await session.save(true);
  assert.ok(saved.get("c").every((label) => label === 0)); // asked for: nothing is there
  assert.deepEqual(server.asked, ["a", "b", "c"]); // each once: the next one was asked for beforehand
});

test("what cannot be saved stays open, and is not saved over somebody else's unasked", async () => {
  const { server, saved, listing } = fakeServer();
  const session = new Session(server, listing, () => {});
  await session.open(0);
  draw(session);
  server.fails = "the mask of a was changed by someone else after it was opened; save again to replace it, or reload it.";
  assert.equal(await session.open(1), false);
  assert.equal(await session.open(1), false);
  assert.equal(session.index, 0);
  assert.match(session.state.text, /^Not saved: the mask of a was changed/);
  assert.equal(saved.size, 0);
  assert.equal(await session.save(true), true);
  assert.equal(saved.get("a")[8 + 2], 1);
  assert.equal(session.state.kind, "saved");
});

test("what is drawn while it is saved is not taken for saved", async () => {
  const { server, saved, listing } = fakeServer();
  const session = new Session(server, listing, () => {});
  await session.open(0);
  draw(session, 1);
  const saving = session.save();
  draw(session, 2);
  assert.equal(await saving, false);
  assert.equal(session.dirty, true);
  assert.equal(saved.get("a")[8 + 2], 1);
  assert.equal(await session.save(), true);
  assert.equal(saved.get("a")[8 + 2], 2);
});

test("a server's refusal is its sentence, silence one of ours", async () => {
  const answers = [{ ok: false, status: 400, json: async () => ({ error: "folder is wrong." }) }, { ok: false, status: 403, json: () => Promise.reject(new Error("no JSON")) }];
  const server = new LabelServer(async () => answers.shift() ?? Promise.reject(new TypeError("failed")), { folder: "f", images: "", masks: "", classes: "a, b", coding: "auto" });
  await assert.rejects(server.list(), /^Error: folder is wrong\.$/);
  await assert.rejects(server.list(), /refused this \(403\)/);
  await assert.rejects(server.list(), /does not answer/);
});
