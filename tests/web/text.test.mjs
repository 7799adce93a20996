/** What we say in the person's language, and English where that is not known. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { speak, spoken, t, whole } from "../../web/words/text.mjs";

afterEach(() => speak("en"));

test("English says what the source says", () => {
  assert.equal(t("Undo"), "Undo");
  assert.equal(t("{at} of {all}", { at: 2, all: 9 }), "2 of 9");
  assert.equal(whole(12345), "12,345");
});

test("a language says its own sentence, with values wherever they belong in it", () => {
  speak("ko", { "{at} of {all}": "{all}개 중 {at}번째" });
  assert.equal(t("{at} of {all}", { at: 2, all: 9 }), "9개 중 2번째");
  assert.equal(t("Undo"), "Undo", "what is not translated is English");
  assert.equal(spoken(), "ko");
});

test("plural forms are those of the language", () => {
  const points = (count) => t("{count} point|{count} points", { count });
  assert.deepEqual([1, 2, 0].map(points), ["1 point", "2 points", "0 points"]);
  speak("uk", { "{count} point|{count} points": "{count} точка|{count} точки|{count} точок" });
  assert.deepEqual([1, 2, 5, 11, 21, 24, 100].map(points), ["1 точка", "2 точки", "5 точок", "11 точок", "21 точка", "24 точки", "100 точок"]);
  speak("zh", { "{count} point|{count} points": "{count} 个点" });
  assert.deepEqual([1, 2].map(points), ["1 个点", "2 个点"]);
  speak("uk");
  assert.deepEqual([1, 2].map(points), ["1 point", "2 points"], "English words have English forms, whatever language is set");
});

test("values are put in as they are", () => {
  speak("ko", { "Sort by {name}": "{name} 기준으로 정렬" });
  assert.equal(t("Sort by {name}", { name: "$& {name} | <b>" }), "$& {name} | <b> 기준으로 정렬");
  assert.equal(t("{shown} of {other}", { shown: 1 }), "1 of {other}", "a value that is missing shows where it should be");
});

test("numbers are parted as the language does it", () => {
  speak("uk");
  assert.match(whole(12345), /^12\s345$/u);
  speak("ko");
  assert.equal(whole(12345), "12,345");
});

test("nothing that is served can break it", () => {
  speak("not a language", {});
  assert.equal(spoken(), "en");
  speak("ko", { Undo: "", Redo: null, Clear: {}, constructor: "x" });
  assert.deepEqual([t("Undo"), t("Redo"), t("Clear"), t("toString")], ["Undo", "Redo", "Clear", "toString"]);
});
