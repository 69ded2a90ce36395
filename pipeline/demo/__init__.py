"""Synthetic movies with known ground truth: H.264/AAC files made by numpy and ffmpeg, no downloads.

Each movie has the three properties that make movies special: it contains many concepts (semantic
diversity), they come back (reoccurrence), and one palette, grade and theme music cover all of them
(non-semantic consistency). Read `scenario` first, then `drawing` and `sound`.

What makes them is imported on first use: every command of `pipeline` parses the options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.demo.command import DemoCorpus
from pipeline.demo.config import DemoConfig

if TYPE_CHECKING:
    from pipeline.demo.corpus import make_demo_corpus

__all__ = ["DemoConfig", "DemoCorpus", "make_demo_corpus"]


def __getattr__(name: str) -> Any:
    if name != "make_demo_corpus":
        raise AttributeError(f"module 'pipeline.demo' has no attribute {name!r}")
    from pipeline.demo.corpus import make_demo_corpus

    return make_demo_corpus
