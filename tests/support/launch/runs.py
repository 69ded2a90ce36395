"""Whole runs of the pipeline on small films."""

from __future__ import annotations

from pathlib import Path

from pipeline.__main__ import main

#: Options for frames and clips that are made in no time.
SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]


def preprocess(corpus: Path | str, out: Path | str, *options: str) -> int:
    """Run `python -m pipeline preprocess` in this process; its exit code."""
    return main(["preprocess", str(corpus), "--out", str(out), *SMALL, *options])
