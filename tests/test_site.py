"""The documentation as a site: it builds without a warning, asks nobody for anything, and has a page for every node."""

import os
import re
import subprocess
import sys

import pytest

from .test_help import REPOSITORY, SCHEMAS, load_script


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: every page's text by its place."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr  # mkdocs.yml is strict: a warning is an error
    assert "WARNING" not in done.stdout + done.stderr
    return {page.relative_to(folder).as_posix(): page.read_text(encoding="utf-8") for page in folder.rglob("*.html")}


def test_every_page_has_its_place(site):
    written = {page.relative_to(REPOSITORY / "docs").with_suffix("") for page in (REPOSITORY / "docs").rglob("*.md")}
    places = {f"{page.as_posix()}/index.html" for page in written} - {"index/index.html"} | {"index.html"}

    assert places <= set(site)
    assert {f"reference/{node_id}/index.html" for node_id in SCHEMAS} <= set(site)


def test_a_reader_is_sent_nowhere(site):
    """No script, font, style or picture comes from another host: the pages open in a hall without internet."""
    for name, page in site.items():
        assert not re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?(?:https?:)?//[^>]*>", page), name
        assert not re.findall(
            r"<link[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*href=[\"']?(?:https?:)?//[^>]*>", page
        ), name


def test_formulas_are_drawn(site):
    assert any("<svg role" in page for page in site.values())
    assert not [name for name, page in site.items() if 'class="arithmatex"' in page]


def test_commands_and_workflows_are_told(site):
    assert "visionsmith experiment" in site["reference/command/index.html"]
    for file in (REPOSITORY / "workflows").glob("*.json"):
        assert f'thumbnails/{file.stem}.jpg"' in site["reference/workflows/index.html"]


def test_a_formula_says_what_it_is_and_stands_on_its_line(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    formulas = load_script(REPOSITORY / "docs" / "formulas.py")
    page = formulas.with_formulas(r'a <span class="arithmatex">\(p_t &lt; 1\)</span> b')

    assert page.startswith('a <span class="formula"><svg role="img" aria-label="p_t &lt; 1"')
    assert "vertical-align:-" in page and page.endswith("</svg></span> b")
    with pytest.raises(ValueError, match="nosuchword"):
        formulas.svg(r"\nosuchword")


def test_links_that_leave_the_folder_lead_on(monkeypatch):
    class File:
        src_uri = "how-to/a.md"

    class Page:
        file = File

    class Config:
        extra = {"repository": "https://github.com/o/r"}  # noqa: RUF012

    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    hooks = load_script(REPOSITORY / "docs" / "hooks.py")
    text = "[a](../faq.md#x) [b](../../web/docs/VisionsmithConv.md#inputs) [c](../../provisioning/manifest.toml) [d](../../README.md#nodes)"

    assert hooks.on_page_markdown(text, page=Page, config=Config) == (
        "[a](../faq.md#x) [b](../reference/VisionsmithConv.md#inputs) [c](https://github.com/o/r/blob/main/provisioning/manifest.toml) "
        "[d](../reference/index.md)"
    )
