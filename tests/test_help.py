"""The help pages: one for every node, tables that are the schema's, and no sentence that the code does not say."""

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = REPOSITORY / "web" / "docs"
ROOMS = ("nn_layers", "training", "imaging", "augmentation", "nodes", "replace")


def load_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


help_tables = load_script(REPOSITORY / "docs" / "help_tables.py")
help_pictures = load_script(REPOSITORY / "docs" / "help_pictures.py")
SCHEMAS = {schema.node_id: schema for schema in help_tables.schemas()}


def text_of(node_id):
    return (PAGES / f"{node_id}.md").read_text(encoding="utf-8")


def sections_of(text):
    """Heading → the prose below it, tables and markers left out."""
    text = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "table", text, flags=re.DOTALL)
    head, *rest = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {"": head.partition("\n")[2].strip(), **dict(zip(rest[::2], map(str.strip, rest[1::2]), strict=True))}


def test_every_node_has_a_page_and_every_page_a_node():
    assert {page.stem for page in PAGES.glob("*.md")} == set(SCHEMAS), "run: python docs/help_tables.py"


def test_every_page_shows_its_picture():
    assert help_pictures.missing() == [], "run: python docs/help_pictures.py, with the ids of these nodes"


@pytest.mark.parametrize("file", sorted((PAGES / "images").glob("*.jpg")), ids=lambda file: file.stem)
def test_pictures_are_small_and_can_be_read(file):
    with Image.open(file) as picture:
        picture.load()
        assert picture.format == "JPEG" and picture.width >= 100
        assert not picture.getexif()


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_tables_are_those_of_the_schema(node_id):
    text = text_of(node_id)
    assert help_tables.with_tables(SCHEMAS[node_id], text) == text, "run: python docs/help_tables.py"


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_page_is_written(node_id):
    text = text_of(node_id)
    sections = sections_of(text)

    assert text.splitlines()[0] == f"# {SCHEMAS[node_id].display_name}"
    assert tuple(sections) == ("", *help_tables.SECTIONS)
    assert all(len(prose) > 20 for name, prose in sections.items() if name not in ("Inputs", "Outputs"))
    assert 2 <= len(re.findall(r"^- ", sections["Common mistakes"], re.MULTILINE)) <= 5


@cache
def said():
    """What the code can say, as patterns: every text of it that is long enough, with its blanks."""
    patterns = []
    for room in ROOMS:
        for file in (REPOSITORY / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    parts = [node.value]
                else:
                    continue
                if sum(len(part) for part in parts if part) >= 25:
                    pattern = "".join(".*?" if part is None else re.escape(part) for part in parts)
                    patterns.append(re.compile(f"(?:[A-Z][A-Za-z ]*: )?{pattern}", re.DOTALL))
    return patterns


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_quoted_sentences_are_what_the_code_says(node_id):
    for sentence in re.findall(r"^\s*> (.+)$", text_of(node_id), re.MULTILINE):
        assert any(pattern.fullmatch(sentence) for pattern in said()), sentence


def test_a_node_without_a_page_gets_a_skeleton(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(help_tables, "PAGES", tmp_path)

    assert help_tables.main(["--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert help_tables.main([]) == 0
    assert help_tables.main(["--check"]) == 0
    (tmp_path / "VisionsmithGone.md").write_text("# Gone\n")
    assert help_tables.main(["--check"]) == 1
    assert "no such node: VisionsmithGone.md" in capsys.readouterr().out


def test_what_only_one_option_has_stands_below_its_choice():
    table = help_tables.inputs_table(SCHEMAS["VisionsmithTransform"])

    assert (
        "| `height` with type resize, random crop or random resized crop | Pixels. *1 to 65,536; default 64.* |"
        in table
    )
    assert "| `fit` with type resize |" in table


def test_markers_that_are_gone_are_missed():
    with pytest.raises(ValueError, match="put the markers back"):
        help_tables.with_tables(SCHEMAS["VisionsmithConv"], "# Conv\n")
