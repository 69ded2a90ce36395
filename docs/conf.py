"""Sphinx configuration: `make docs` builds the pages in this folder and the API reference."""

import re
from importlib.metadata import version as installed_version
from typing import Any

project = "reelshards"
author = "The reelshards authors"
copyright = "2026, The reelshards authors"
version = release = installed_version("reelshards")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "reelshards"
html_static_path: list[str] = []

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# Pages link to source files and result files of the repository; `tests/test_docs.py` checks those.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}


def _code_spans(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings write code as `name`; reStructuredText wants two backticks."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(?<![`\w:])`([^`]+)`(?!`)", r"``\1``", line)


def setup(app: Any) -> None:
    """Called by Sphinx. Before napoleon (priority 500), which would split at colons in code."""
    app.connect("autodoc-process-docstring", _code_spans, priority=400)
