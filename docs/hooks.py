"""What mkdocs does beside its own: the reference from the schemas, links that leave this folder, drawn formulas."""

from __future__ import annotations

import re
from posixpath import join, normpath, relpath
from typing import TYPE_CHECKING

import formulas
import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

LINK = re.compile(r"(\]\()((?:\.\./)+[^)\s#]+)([^)]*\))")
"""A Markdown link or picture that leads out of the folder of its page."""
ON_THE_SITE = {"README.md#nodes": "reference/index.md", "README.md#without-comfyui": "reference/command.md"}
"""Sections of README.md that have a page of their own here."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference into the navigation, one section for each menu."""
    pages = [{menu: [f"reference/{node.node_id}.md" for node in nodes]} for menu, nodes in reference.menus().items()]
    own = [{"Command": "reference/command.md"}, {"Workflows": "reference/workflows.md"}]
    [section] = [entry for entry in config.nav if "Reference" in entry]
    section["Reference"] = ["reference/index.md", *own, *pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made from the schemas and from the command, and their pictures."""
    from mkdocs.structure.files import File

    texts = {
        "reference/index.md": reference.node_index(),
        "reference/command.md": reference.command_page(),
        "reference/workflows.md": reference.workflow_page(),
        **{f"reference/{node.node_id}.md": reference.node_page(node) for node in reference.schemas()},
    }
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    for name, file in {**reference.thumbnails(), **reference.help_pictures()}.items():
        files.append(File.generated(config, name, abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Links that are right in the repository become right on the site, too: help pages are the reference's, other files GitHub's."""
    here = normpath(join("docs", page.file.src_uri, ".."))

    def mended(found: re.Match[str]) -> str:
        target = normpath(join(here, found[2]))
        if target.startswith("docs/"):
            return found[0]
        if target.startswith("web/docs/"):
            to = relpath(target.replace("web/docs", "docs/reference", 1), here)
            return f"{found[1]}{to}{found[3]}"
        if own := ON_THE_SITE.get(f"{target}{found[3].rstrip(')')}"):
            return f"{found[1]}{relpath(join('docs', own), here)})"
        return f"{found[1]}{config.extra['repository']}/blob/main/{target}{found[3]}"

    return LINK.sub(mended, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Draw the formulas."""
    return formulas.with_formulas(html)
