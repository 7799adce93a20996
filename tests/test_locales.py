"""Texts in other languages: each says all of what nodes and panels say and nothing else, really in that language, with names and numbers kept."""

import json
import re

import pytest

from .test_help import REPOSITORY, load_script

locales = load_script(REPOSITORY / "docs" / "locales.py")
panel_texts = locales.panel_texts
ENGLISH = locales.english()
LETTERS = {"ko": "[가-힣]", "zh": "[一-鿿]", "uk": "[а-яіїєґ]"}
FOREIGN = {"ko": "[一-鿿а-я]", "zh": "[가-힣а-я]", "uk": "[ыэъё가-힣一-鿿]"}
"""Letters that no text of a language has: those of another one, such as the Russian ones in Ukrainian."""
SENTENCES = ("tooltip", "description", locales.PANELS)
FORMS = {"en": 2, "ko": 1, "zh": 1, "uk": 3}
"""How many forms a language has of words that are counted."""
NAMES = """SAM ?3|LoRA|LaMa|DreamBooth|Stable Diffusion|SDXL|timm|torch|ONNX|OpenCV|CLIP|BLIP|Florence-2|UNet|U-Net|COCO|CSV|JSON|
ImageNet|ReLU|AdamW|SGD|BatchNorm|GroupNorm|KSampler|Hugging Face|Tversky|Dice|CutPaste|mIoU|mAcc|RMSE|SELU|Kaiming|Xavier|EMA|
VISIONSMITH_DATA_ROOTS|HF_TOKEN|LAMA_MODEL|Apache-2\\.0|BSD-3-Clause|MIT|Markdown|Escape|Shift|Enter|Backspace|Delete""".replace(
    "\n", ""
)
KEPT = re.compile(
    rf"https?://[^\s]+\w|\w+\.(?:safetensors|pt|py|json|onnx|md|yaml|txt)\b|models/\w+|\{{\w+\}}|\b(?:{NAMES})\b|\((?:Ctrl\+)?(?:Shift\+)?[A-Z?]\)"
)
"""What a translation must have, too: files, folders, placeholders, names, keys."""


def numbers(text):
    """Every number but the small ones, which languages write in words or turn around."""
    return {number for number in re.findall(r"\d+(?:\.\d+)?", text.replace(",", "")) if float(number) > 4}


def raw(text):
    """Without the marks that keep the front end from reading { and | as its own."""
    return re.sub(r"\{'(.)'\}", r"\1", text)


def test_english_is_what_the_nodes_say():
    assert locales.read("en") == ENGLISH, "run: python docs/locales.py, then python docs/locales.py --missing ko"


def test_every_sentence_of_a_panel_is_found():
    """Whatever is in a call of `t` is a key, and what a person would see is in one, as far as can be told without running it."""
    assert len(panel_texts.sentences()) > 200
    assert panel_texts.unclear() == []
    assert panel_texts.untranslated() == [], 'say it in t("…"), see web/words/text.mjs'


@pytest.mark.parametrize("language", ["en", *locales.LANGUAGES])
def test_panels_have_the_plural_forms_of_the_language(language):
    for (*_, kind, english), text in locales.read(language).items():
        if kind == locales.PANELS:
            forms = text.split("|")
            assert len(forms) == (FORMS[language] if "|" in english else 1), (english, text)
            for form in forms:  # Korean may say of one what English says of two
                assert set(re.findall(r"\{\w+\}", form)) == set(re.findall(r"\{\w+\}", english)), (english, text)


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_all_is_said_and_nothing_that_is_gone(language):
    texts = locales.read(language)
    gone = sorted(set(texts) - set(ENGLISH))

    assert not gone, f"no longer said: {gone[:5]}; run: python docs/locales.py"
    lacking = {ENGLISH[key] for key in set(ENGLISH) - set(texts)}
    assert not lacking, (
        f"{len(lacking)} texts are not there in {language}. Run: python docs/locales.py --missing {language} > missing.json, fill in "
        f"the empty strings, then: python docs/locales.py --add {language} missing.json\n" + "\n".join(sorted(lacking))
    )
    assert all(text.strip() for text in texts.values())


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_sentences_are_in_the_language(language):
    for key, text in locales.read(language).items():
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", ENGLISH.get(key, "")))
        if locales.kind_of(key) in SENTENCES and len(words) > 1:
            assert re.search(LETTERS[language], text.lower()), (key, text)
        assert not re.search(FOREIGN[language], text.lower()), (key, text)


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_names_files_and_numbers_are_kept(language):
    wrong = []
    for key, text in locales.read(language).items():
        source = raw(ENGLISH.get(key, ""))
        if locales.kind_of(key) in SENTENCES:
            lost = [one for one in KEPT.findall(source) if one.replace(" ", "") not in raw(text).replace(" ", "")]
            lost += sorted(numbers(source) - numbers(text))
            wrong += [f"{'.'.join(key)}: {lost} in {text!r}"] if lost else []

    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("language", ["en", *locales.LANGUAGES])
def test_nothing_is_read_as_a_template(language):
    for key, text in locales.read(language).items():
        if locales.kind_of(key) in locales.COMPILED:
            assert not re.search(r"[{}@|]", re.sub(r"\{'.'\}", "", text)), (key, text)


def test_the_script_lists_what_is_missing_and_takes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locales, "FOLDER", tmp_path)
    assert locales.main([]) == 0
    capsys.readouterr()
    assert locales.main(["--missing", "ko"]) == 0
    lacking = json.loads(capsys.readouterr().out)
    assert lacking["display_name"]["Conv"] == ""
    assert "tensor0" in lacking["name"]
    assert "tensor1" not in lacking["name"]

    lacking["name"]["tensor0"] = "텐서0"
    lacking["tooltip"]["Pixels."] = "픽셀."
    (tmp_path / "filled.json").write_text(json.dumps(lacking), encoding="utf-8")
    assert locales.main(["--add", "ko", str(tmp_path / "filled.json")]) == 0

    texts = locales.read("ko")
    assert texts["nodeDefs", "VisionsmithMerge", "inputs", "tensors_tensor31", "name"] == "텐서31"
    assert {text for key, text in texts.items() if key[-1] == "tooltip"} == {"픽셀."}
    assert locales.main(["--check"]) == 0


def test_a_translation_goes_when_its_english_changed_but_not_when_it_was_reworded(tmp_path, monkeypatch):
    monkeypatch.setattr(locales, "FOLDER", tmp_path)
    key = ("nodeDefs", "VisionsmithConv", "description")
    locales.write("en", ENGLISH | {key: "Something else."})
    locales.write("ko", {key: "다른 것."})

    assert locales.main(["--check"]) == 1
    assert locales.renewed("ko", ENGLISH) == {}
    assert locales.renewed("ko", ENGLISH, same=True) == {key: "다른 것."}


SCRIPT = """/** t("in a comment") */
const style = { class: "visionsmith-big small", key: "Enter" };
const pattern = /"not a text"/g;
export const word = (count) => t("{count} dog|{count} dogs", { count });
element.title = `A ${t("nice")} thing`;
element.setAttribute("aria-label", open ? "Close" : t("Open"));
row.append("Two words");
t(word);
t("{lost} is nowhere");
"""


def test_texts_are_told_from_code(tmp_path, monkeypatch):
    (tmp_path / "a.mjs").write_text(SCRIPT)
    monkeypatch.setattr(panel_texts, "WEB", tmp_path)

    assert panel_texts.sentences() == ["{count} dog|{count} dogs", "nice", "Open", "{lost} is nowhere"]
    assert panel_texts.unclear() == [
        "web/a.mjs:9: no value for {lost}",
        "web/a.mjs: 5 calls of t, 4 with a sentence in them",
    ]
    assert panel_texts.untranslated() == [
        "web/a.mjs:5: 'A {} thing'",
        "web/a.mjs:6: 'Close'",
        "web/a.mjs:7: 'Two words'",
    ]
