/** The marks of the points editor without a page: notations, history, geometry. */
import assert from "node:assert/strict";
import test from "node:test";
import { boxBetween, hit, inside, moved, scaleOf, toPicture } from "../../web/points/geometry.mjs";
import { Marks, read, write } from "../../web/points/marks.mjs";
import { origin, viewQuery } from "../../web/points/upstream.mjs";

const point = { kind: "point", x: 3, y: 4, positive: true, object: 0 };
const box = { kind: "box", x: 10, y: 20, width: 30, height: 40, positive: true };
const size = { width: 100, height: 50 };

test("every notation is read", () => {
  assert.deepEqual(read(""), []);
  assert.deepEqual(read('{"x": 3, "y": 4}'), [point]);
  assert.deepEqual(read("[[3, 4], [3, 4, 0]]"), [point, { ...point, positive: false }]);
  assert.deepEqual(read('{"positive": [[3, 4]], "negative": [{"x": 3, "y": 4, "object": 2}]}'), [point, { ...point, positive: false, object: 2 }]);
  assert.deepEqual(read('{"boxes": [{"x": 10, "y": 20, "width": 30, "height": 40, "label": "crack"}]}'), [box]);
});

test("what is written is read again", () => {
  const marks = [point, { ...point, positive: false, object: 3 }, box, { ...box, positive: false }];
  assert.deepEqual(read(write(marks)), marks);
  assert.equal(write([]), "");
  assert.equal(write([point]), '{"points":[{"x":3,"y":4}],"boxes":[]}');
});

for (const text of ["10, 20", "3", "null", '{"a": 1}', "[{}]", '[{"x": "a", "y": 1}]', '{"boxes": [{"x": 1}]}', '{"points": 5}']) {
  test(`${text} is refused and left as it is`, () => {
    assert.throws(() => read(text), Error);
    const marks = new Marks();
    marks.setText(text);
    assert.equal(marks.text, text);
    assert.notEqual(marks.problem, "");
    marks.clear();
    assert.deepEqual([marks.text, marks.problem], ["", ""]);
  });
}

test("undo and redo go step by step, a gesture is one step", () => {
  const marks = new Marks();
  marks.add(point);
  for (const x of [4, 5, 6]) marks.edit(0, { x }, "drag 1");
  marks.edit(0, { x: 7 }, "drag 2");
  marks.undo();
  assert.equal(marks.list[0].x, 6);
  marks.undo();
  assert.equal(marks.list[0].x, 3);
  marks.redo();
  assert.equal(marks.list[0].x, 6);
  marks.add(box, "drag 3");
  marks.cancel("drag 3");
  assert.equal(marks.list.length, 1);
  marks.redo();
  assert.equal(marks.list.length, 1);
  marks.undo();
  marks.undo();
  marks.undo();
  assert.equal(marks.text, "");
});

test("a text from outside begins a new history, our own text does not", () => {
  const marks = new Marks();
  marks.add(point);
  marks.setText(marks.text);
  assert.equal(marks.past.length, 1);
  marks.setText('{"x": 1, "y": 2}');
  assert.equal(marks.past.length, 0);
});

test("removing selects a neighbour", () => {
  const marks = new Marks();
  marks.setText("[[1, 1], [2, 2], [3, 3]]");
  marks.remove(2);
  assert.equal(marks.selected, 1);
  marks.remove(0);
  assert.equal(marks.selected, 0);
  marks.remove(0);
  assert.equal(marks.selected, -1);
});

test("places are right whatever the shape and the zoom", () => {
  const area = { left: 10, top: 20, width: 400, height: 400 };
  assert.equal(scaleOf(size, area), 0.25);
  assert.deepEqual(toPicture({ x: 10, y: 120 }, area, size), { x: 0, y: 0 });
  assert.deepEqual(toPicture({ x: 410, y: 320 }, area, size), { x: 100, y: 50 });
  assert.deepEqual(inside({ x: 100, y: -3 }, size), { x: 99, y: 0 });
  assert.deepEqual(inside({ x: 12.9, y: 3.2 }, size), { x: 12, y: 3 });
});

test("boxes and points stay inside", () => {
  assert.deepEqual(boxBetween({ x: 120, y: 60 }, { x: 90, y: -5 }, size), { x: 90, y: 0, width: 10, height: 50 });
  assert.deepEqual(boxBetween({ x: 5, y: 5 }, { x: 5, y: 5 }, size), { x: 5, y: 5, width: 1, height: 1 });
  assert.deepEqual(moved(box, 1000, -1000, size), { x: 70, y: 0 });
  assert.deepEqual(moved(point, -10, 2, size), { x: 0, y: 6 });
});

test("corners come before points, points before edges", () => {
  const marks = [box, { ...point, x: 40, y: 60 }];
  assert.deepEqual(hit(marks, -1, { x: 40, y: 60 }, 0.5), { index: 1, corner: -1 });
  assert.deepEqual(hit(marks, 0, { x: 40, y: 60 }, 0.5), { index: 0, corner: 2 });
  assert.deepEqual(hit(marks, -1, { x: 10, y: 40 }, 0.5), { index: 0, corner: -1 });
  assert.equal(hit(marks, -1, { x: 25, y: 40 }, 0.5), null);
});

test("the value of Load Image leads to its file", () => {
  assert.equal(viewQuery("a b.png"), "filename=a+b.png&subfolder=&type=input");
  assert.equal(viewQuery("parts/new/a.png [output]"), "filename=a.png&subfolder=parts%2Fnew&type=output");
});

test("a circle of reroutes ends", () => {
  const node = { type: "Reroute", inputs: [{ link: 1 }] };
  const graph = { links: { 1: { origin_id: 5, origin_slot: 0 } }, getNodeById: () => node };
  assert.equal(origin(graph, 1), null);
});
