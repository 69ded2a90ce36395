"""Sphinx configuration: `make docs` builds the pages in this folder and the API reference."""

from importlib.metadata import version as installed_version

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
