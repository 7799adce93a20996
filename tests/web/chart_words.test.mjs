/** The line above a chart. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { clock, lineOf } from "../../web/chart/words.mjs";
import { speak } from "../../web/words/text.mjs";

afterEach(() => speak("en"));

const RUNNING = { state: "running", step: 1500, steps: 3000, epoch: 2, epochs: 4, speed: 1234.6, left: 75 };

test("while it trains: epochs, speed, time left", () => {
  assert.equal(lineOf(RUNNING), "epoch 2 of 4 · 1,235 samples/s · 1:15 left");
  assert.equal(lineOf({ ...RUNNING, state: "validating", speed: 0.4567, left: null }), "validating · epoch 2 of 4 · 0.46 samples/s");
  assert.equal(lineOf({ state: "preparing", steps: 1 }), "preparing");
  assert.equal(lineOf({ state: "preparing", step: 20, steps: 80 }), "preparing, 20 of 80");
});

test("how it ended", () => {
  assert.equal(lineOf({ ...RUNNING, state: "done", best: 3 }), "done · best epoch 3 of 4");
  assert.equal(lineOf({ ...RUNNING, state: "done" }), "done · step 1,500 of 3,000");
  assert.equal(lineOf({ ...RUNNING, state: "stopped", best: 2 }), "stopped at step 1,500 of 3,000 · best epoch 2");
  for (const state of ["cancelled", "failed", "interrupted"]) assert.equal(lineOf({ ...RUNNING, state }), `${state} at step 1,500 of 3,000 · queue it again to go on`);
  assert.equal(lineOf({ ...RUNNING, state: "ended" }), "ended at step 1,500 of 3,000");
});

test("in the person's language", () => {
  speak("uk", { "epoch {at} of {all}": "епоха {at} з {all}", "{time} left": "залишилося {time}" });
  assert.equal(lineOf({ ...RUNNING, speed: 0 }), "епоха 2 з 4 · залишилося 1:15");
});

test("times", () => assert.deepEqual([0.4, 59.6, 3600, 3725].map(clock), ["0:00", "1:00", "1:00:00", "1:02:05"]));
