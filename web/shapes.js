/** Every layer shows its shape, parameters and multiply-adds while one draws; what does not fit is red, and so is the wire. Nothing is queued. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { badgeAt, badgeOf, hasBadge } from "./shapes/badge.mjs";
import { collect, givenBy, isLayer } from "./shapes/collect.mjs";
import { Announcer, Tip, drawWires, markInputs } from "./shapes/marks.mjs";
import { showShape, together } from "./shapes/words.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";

/** @typedef {import("./shapes/collect.mjs").Place} Place */
/** @typedef {import("./shapes/words.mjs").Told} Told */
/** @typedef {import("./shapes/words.mjs").Words} Words */

const PAUSE = 100; // milliseconds without an edit
const MOST_PARTS = 60; // answers to one question, where the server needs more time
const TOO_MANY = 429; // questions at once
const BUSY = 500; // milliseconds until it is asked again then
const FIRST_REST = 5_000; // after a server did not answer; doubled each time
const LONGEST_REST = 60_000;
const EDITS = ["pointerup", "keyup", "input", "change", "drop"];

let timer = 0;
/** The question that the answer belongs to. */
let asked = "";
/** @type {Record<string, Told>} */
let answer = {};
/** What nodes say that the answer does not name. */
let unknown = "…";
/** @type {AbortController | null} */
let waiting = null;
let rest = 0;
let silentUntil = 0;
/** @type {Tip} */
let tip;
/** @type {Announcer} */
let announcer;

/** Look at the drawing as soon as nobody edits for a moment. */
function look() {
  clearTimeout(timer);
  timer = setTimeout(update, PAUSE);
}

/** Ask the server if the drawing is another one than it told of, and show what is known. */
async function update() {
  if (!app.rootGraph) return;
  const start = performance.now();
  const { prompt, places } = collect(app.rootGraph);
  const question = JSON.stringify({ prompt });
  performance.measure("visionsmith.collect", { start });
  if (question !== asked && places.size && Date.now() >= silentUntil) {
    waiting?.abort();
    asked = question;
    await ask(question);
    return;
  }
  show(places);
}

/** @param {string} question */
async function ask(question) {
  const controller = new AbortController();
  waiting = controller;
  try {
    let more = true;
    for (let part = 0; more && part < MOST_PARTS; part += 1) {
      const response = await api.fetchApi("/visionsmith/shapes", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: question,
        signal: controller.signal,
      });
      const told = await response.json();
      if (waiting !== controller) return;
      if (response.status === TOO_MANY) {
        await new Promise((resolve) => setTimeout(resolve, BUSY));
        continue;
      }
      answer = told.nodes ?? {};
      more = Boolean(told.more);
      unknown = told.nodes ? "…" : told.error;
      show(collect(app.rootGraph).places);
    }
    rest = 0;
    if (more) asked = ""; // the rest is asked for after the next edit
  } catch {
    if (waiting !== controller) return; // another question is on its way
    asked = "";
    rest = Math.min(LONGEST_REST, rest ? 2 * rest : FIRST_REST);
    silentUntil = Date.now() + rest;
    answer = {};
    unknown = t("the server does not answer");
    show(collect(app.rootGraph).places);
  }
}

/** @param {Map<string, Place>} places */
function show(places) {
  const start = performance.now();
  /** @type {Map<any, Told[]>} */
  const told = new Map();
  /** @type {{node: any, input: any}[]} */
  const wrong = [];
  for (const [id, { node }] of places) {
    const one = answer[id] ?? { waits: unknown };
    told.set(node, [...(told.get(node) ?? []), one]);
    const input = "error" in one && node.inputs?.find((/** @type {any} */ socket) => socket.name === one.input);
    if (input) wrong.push({ node, input });
  }
  for (const [node, all] of told) say(node, together(all));
  const outer = subgraphs(places);
  for (const [node, words] of outer) say(node, words);
  forget(new Set([...told.keys(), ...outer.keys()]));
  markInputs(wrong);
  announcer.say([...told].flatMap(([node, all]) => all.flatMap((one) => ("error" in one ? [`${node.title}: ${one.error}`] : []))));
  app.canvas?.setDirty(true, true);
  performance.measure("visionsmith.show", { start });
}

/** @param {any} node @param {Words} words */
function say(node, words) {
  badgeOf(node).say(words);
}

/** Nodes that take no part, because they are bypassed or muted or have no layers in them, say nothing. @param {Set<any>} active */
function forget(active) {
  for (const graph of [app.rootGraph, ...(app.rootGraph.subgraphs?.values() ?? [])]) {
    for (const node of graph.nodes) {
      if (!active.has(node) && hasBadge(node)) say(node, { kind: "waits", text: "", long: "" });
    }
  }
}

/**
 * What a node says that stands for a subgraph with layers: its first output, the sums, and the first thing that is wrong inside.
 * @param {Map<string, Place>} places @returns {Map<any, Words>}
 */
function subgraphs(places) {
  /** @type {Map<any, {place: Place, inner: Told[]}>} */
  const found = new Map();
  for (const [id, { around }] of places) {
    around.forEach((node, depth) => {
      const entry = found.get(node) ?? { place: { node, around: around.slice(0, depth) }, inner: [] };
      entry.inner.push(answer[id] ?? { waits: unknown });
      found.set(node, entry);
    });
  }
  return new Map([...found].map(([node, { place, inner }]) => [node, summary(place, inner)]));
}

/** @param {Place} place @param {Told[]} inner @returns {Words} */
function summary(place, inner) {
  const worst = together(inner.filter((one) => !("shape" in one)).concat(inner[0]));
  if (worst.kind === "wrong") return { kind: "wrong", text: t("inside: {text}", { text: worst.text }), long: t("Inside: {text}", { text: worst.long }) };
  if (worst.kind === "waits") return worst;
  const outputs = (place.node.outputs ?? []).map((/** @type {any} */ output, /** @type {number} */ slot) => givenBy(place, slot, output.type));
  const gives = outputs.map((/** @type {any} */ last) => answer[last?.id]).find((/** @type {any} */ told) => told && "shape" in told);
  const sum = (/** @type {"parameters" | "multiply_adds"} */ key) => inner.reduce((total, one) => total + ("shape" in one ? one[key] : 0), 0);
  if (!gives) return { kind: "waits", text: "", long: "" };
  return together([{ shape: gives.shape, parameters: sum("parameters"), multiply_adds: sum("multiply_adds") }]);
}

/** Whether a run tells of a layer what its badge says already. @param {{nodeId: string, text: string}} detail */
function repeats({ nodeId, text }) {
  const told = answer[nodeId];
  return Boolean(told && "shape" in told && text.split(" · ")[0] === showShape(told.shape));
}

/** Leave such texts out, which would only make nodes taller. ComfyUI's own listener hears events before any of ours, so they are not sent. */
function leaveRepeatsOut() {
  const { dispatchCustomEvent } = api;
  if (!dispatchCustomEvent) return;
  api.dispatchCustomEvent = function (/** @type {string} */ type, /** @type {any[]} */ ...args) {
    return type === "progress_text" && repeats(args[0]) ? true : dispatchCustomEvent.call(this, type, ...args);
  };
}

/** The badge below the pointer says all of it. @param {PointerEvent} event */
function point(event) {
  const [x, y] = app.canvas.graph_mouse ?? [0, 0];
  const badge = event.buttons || window.LiteGraph.vueNodesMode ? undefined : badgeAt(app.canvas.graph?.nodes ?? [], x, y);
  tip.show(badge?.title ?? "", event.clientX, event.clientY);
}

app.registerExtension({
  name: "visionsmith.shapes",

  setup() {
    addStyle();
    tip = new Tip();
    announcer = new Announcer();
    drawWires(app.canvas);
    leaveRepeatsOut();
    for (const name of EDITS) window.addEventListener(name, look, true);
    for (const name of ["graphChanged", "reconnected"]) api.addEventListener(name, look);
    api.addEventListener("reconnected", () => (silentUntil = 0));
    app.canvas.canvas.addEventListener("pointermove", point);
    app.canvas.canvas.addEventListener("pointerleave", () => tip.show(""));
    look();
  },

  /** @param {any} node */
  nodeCreated(node) {
    look();
    if (node.subgraph) badgeOf(node, ""); // Vue shows no badge that comes later
    if (!isLayer(node)) return;
    badgeOf(node);
    const { onConnectionsChange } = node;
    node.onConnectionsChange = function (/** @type {any[]} */ ...args) {
      look();
      return onConnectionsChange?.apply(this, args);
    };
  },

  afterConfigureGraph: look,
});
