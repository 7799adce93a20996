/** What the pointer and keys do in the label editor when they come at once, and what is kept of it; without a page. */
import assert from "node:assert/strict";
import test from "node:test";
import { Mask } from "../../web/labels/mask.mjs";
import { namesOf, widgetOf } from "../../web/labels/place.mjs";
import { Session } from "../../web/labels/session.mjs";
import { Tools } from "../../web/labels/tools.mjs";

const element = () => ({ append() {}, setAttribute() {}, replaceChildren() {}, dataset: {}, style: {} });
globalThis.document = { createElementNS: element };

/** Tools on a picture that is shown pixel by pixel, and what a hand does on it. */
function desk(choice = {}, mayDraw = true) {
  /** @type {Record<string, (event: object) => void>} */
  const heard = {};
  const mask = new Mask(40, 30);
  const board = { ...element(), focus() {}, setPointerCapture() {}, addEventListener: (name, listener) => (heard[name] = listener) };
  const view = {
    mask, element: board, marks: element(), scale: 8, pan() {}, reveal() {},
    placeOf: ({ clientX, clientY }) => ({ x: clientX, y: clientY }),
    onScreen: (place) => place,
    colorOf: () => "none",
    holds: ({ x, y }) => x >= 0 && y >= 0 && x < 40 && y < 30,
  };
  const chosen = { tool: "brush", label: 1, size: 3, backgroundOnly: false, ...choice };
  const said = [];
  const tools = new Tools(view, chosen, { pick() {}, hover() {}, say: (text) => said.push(text), mayDraw: () => mayDraw, chosen() {}, cornered() {} });
  const event = (x, y, more) => ({ clientX: x, clientY: y, button: 0, pointerId: 1, preventDefault() {}, ...more });
  const down = (x, y, more) => heard.pointerdown(event(x, y, more));
  const move = (x, y) => heard.pointermove(event(x, y));
  const up = () => heard.pointerup({});
  const click = (x, y, more) => (down(x, y, more), up());
  const square = (...corners) => corners.forEach(([x, y]) => click(x, y));
  return { mask, tools, chosen, said, down, move, up, click, square, doubleClick: (x, y) => (click(x, y), click(x, y), heard.dblclick({})), count: (label) => mask.labels.filter((one) => one === label).length };
}

test("what is drawn is finished before it is saved or left", () => {
  const { mask, tools, square, down, move, up, count } = desk({ tool: "polygon" });
  square([2, 1], [12, 1], [12, 6], [2, 6]);
  assert.equal(tools.busy, true);
  tools.settle();
  assert.equal(count(1), 50);
  assert.equal(tools.busy, false);
  square([20, 1], [30, 1]); // no inside yet: it stays, and nothing is drawn
  tools.settle();
  assert.equal(count(1), 50);
  assert.equal(tools.corners.length, 2);
  tools.cancel();

  tools.choice.tool = "brush";
  down(5.5, 20.5);
  move(15.5, 20.5);
  tools.settle();
  assert.equal(mask.step, null);
  const drawn = count(1);
  move(30.5, 20.5); // the button is still down
  up();
  assert.equal(count(1), drawn);
  assert.equal(mask.past.length, 2);
});

test("keys in the middle of a stroke break nothing", () => {
  const { mask, tools, chosen, down, move, up, count } = desk();
  down(5.5, 5.5);
  move(10.5, 5.5);
  const before = count(1);
  Object.assign(chosen, { label: 2, size: 9, tool: "eraser" }); // they count from the next stroke on
  move(20.5, 5.5);
  assert.ok(count(1) > before && count(2) === 0);
  tools.removeCorner(); // what undo does first
  mask.undo();
  move(25.5, 5.5);
  up();
  assert.equal(mask.dirty, false);
  mask.redo();
  assert.ok(count(1) > before);

  chosen.tool = "brush";
  down(5.5, 20.5);
  tools.press(false); // D
  move(20.5, 20.5);
  tools.press(true);
  up();
  assert.equal(mask.step, null);
  for (let i = 0; i < 10; i++) mask.undo();
  assert.ok(mask.labels.every((label) => label === 0));
});

test("keys while a corner is dragged leave no corner behind", () => {
  const { tools, mask, square, down, move, up, count } = desk({ tool: "polygon" });
  square([2, 1], [12, 1], [12, 11]);
  down(12, 11);
  move(20, 20);
  tools.removeCorner();
  move(25, 25);
  up();
  assert.deepEqual(tools.corners, [{ x: 2, y: 1 }, { x: 12, y: 1 }]);
  down(20, 11);
  move(12, 11);
  assert.equal(tools.close(), true);
  move(30, 25);
  up();
  assert.equal(count(1), 55);
  mask.undo();
  assert.equal(count(1), 0);
});

test("a polygon: the right button takes a corner away, a double click on the first one begins no other", () => {
  const { tools, square, click, doubleClick, count } = desk({ tool: "polygon" });
  square([2, 1], [12, 1], [12, 6], [30, 20]);
  click(30, 20, { button: 2 });
  assert.equal(tools.corners.length, 3);
  doubleClick(2, 1);
  assert.ok(count(1) > 0);
  assert.deepEqual(tools.corners, []);
  square([20, 12], [21, 12], [21, 13], [20.9, 14]); // eight pixels of the screen apart: corners of their own, not one that is moved
  assert.equal(tools.corners.length, 4);
});

test("where no mask can be saved, nothing is drawn", () => {
  for (const tool of ["brush", "eraser", "polygon", "fill"]) {
    const { mask, tools, click, down, move, up } = desk({ tool }, false);
    click(5, 5);
    down(6, 6);
    move(12, 12);
    up();
    tools.place = { x: 3, y: 3 };
    tools.press(false);
    tools.settle();
    assert.equal(mask.past.length, 0);
    assert.equal(tools.corners.length, 0);
  }
});

/** A server of two pictures, the second one shown only. */
function library() {
  const saved = [];
  const server = {
    picture: async () => ({ width: 8, height: 4 }),
    mask: async (name) => ({ width: 8, height: 4, version: "", refused: name === "b" ? "rename one of them." : "", labels: null }),
    save: async (name) => (await null, saved.push(name), "1"),
  };
  const pictures = ["a", "b", "c"].map((name) => ({ name, labelled: false, shared: name === "b" }));
  return { server, saved, listing: { folder: "f", coding: "index", classes: [], pictures } };
}

const draw = (session) => {
  session.mask.begin();
  session.mask.row(1, 2, 5, 1);
  session.mask.commit();
};

test("a picture without a place for its mask says so when it is opened, and is not saved", async () => {
  const { server, saved, listing } = library();
  const session = new Session(server, listing, () => {});
  await session.open(0);
  assert.equal(session.mayDraw, true);
  await session.open(1);
  assert.deepEqual(session.state, { kind: "locked", text: "rename one of them." });
  assert.equal(session.mayDraw, false);
  assert.equal(await session.save(true), true); // nothing is in the way of going on
  assert.deepEqual(saved, []);
  await session.open(2);
  assert.equal(session.mayDraw, true);
  draw(session);
  await session.save();
  assert.equal(session.nextUnlabelled(), 0); // never the one that cannot be labelled
});

test("saving and leaving settle first, and nothing is drawn while a picture is left", async () => {
  const { server, saved, listing } = library();
  let begun = true;
  const session = new Session(server, listing, () => {}, () => begun && session.mask && (draw(session), (begun = false)));
  await session.open(0);
  const going = session.open(2);
  assert.equal(session.mayDraw, false);
  await going;
  assert.deepEqual(saved, ["a"]);
  assert.equal(session.index, 2);
  begun = true;
  await session.save(true);
  assert.deepEqual(saved, ["a", "c"]);
});

/** A graph as LiteGraph has it: nodes by id, links by id. */
function graph(nodes, links = {}, inputs = []) {
  const made = { nodes, inputs, getNodeById: (id) => nodes.find((node) => String(node.id) === String(id)), getLink: (id) => links[id] };
  for (const node of nodes) node.graph = made;
  return made;
}

test("in a subgraph that is used twice, the node of the one that was entered is meant", () => {
  const inner = { id: "5", widgets: [{ name: "folder", value: "" }, { name: "classes", value: "a, b" }], inputs: [{ name: "folder", link: 1 }, { name: "classes", link: null }] };
  const sub = graph([inner], { 1: { origin_id: -10, origin_slot: 0 } }, [{ name: "where" }]);
  const outer = (id, value, link) => ({ id, subgraph: sub, widgets: [{ name: "where", value }], inputs: [{ name: "where", link }] });
  const [first, second, third] = [outer("12", "left", null), outer("13", "right", null), outer("14", "", 7)];
  const text = { id: "20", widgets: [{ name: "value", value: "wired" }] };
  const root = graph([first, second, third, text], { 7: { origin_id: "20", origin_slot: 0 } });
  const entered = new WeakMap();
  assert.deepEqual(namesOf(root, inner, entered), ["12:5", "13:5", "14:5"]);
  entered.set(sub, second);
  assert.deepEqual(namesOf(root, inner, entered), ["13:5"]);
  assert.deepEqual(namesOf(root, text, entered), ["20"]);
  assert.deepEqual(["12:5", "13:5", "14:5"].map((name) => widgetOf(root, name, "folder").widget.value), ["left", "right", "wired"]);
  assert.equal(widgetOf(root, "13:5", "classes").node, inner);
  entered.set(sub, { ...second, id: "99", graph: root }); // one that was removed since
  assert.equal(namesOf(root, inner, entered).length, 3);
});
