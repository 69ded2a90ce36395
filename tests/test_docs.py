"""Links, paths and commands in the documentation exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT)
    for page in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("benchmarks/*.md"),
        ROOT / "shards_spec" / "SPEC.md",
    )
    if "_build" not in page.parts
)
#: The changelog names files and targets of its time.
CURRENT_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
#: `trainer/train.py`, `docs/operations.md`, ... in code spans; not globs, not placeholders.
_PATH = re.compile(
    r"`((?:pipeline|trainer|shards_spec|reelshards|tests|benchmarks|docs|examples)/[\w./-]+)`"
)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts and the site build them."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", page.read_text()), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page whose file or heading does not exist."""
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_are_not_broken(page: Path) -> None:
    assert broken_links(ROOT / page) == []


@pytest.mark.parametrize("page", CURRENT_PAGES, ids=str)
def test_paths_that_are_named_exist(page: Path) -> None:
    named = {path.rstrip(".") for path in _PATH.findall((ROOT / page).read_text())}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[a](#a-heading) [b](#b) [c](c.md) [d](page.md#d) [e](page.md)\n")
    assert broken_links(page) == ["#b", "c.md", "page.md#d"]


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    for page in CURRENT_PAGES:
        named = set(re.findall(r"`make ([a-z][a-z-]*)", (ROOT / page).read_text()))
        assert named <= targets, f"{page} names targets that the Makefile lacks: {named - targets}"
