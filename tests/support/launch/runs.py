"""Complete runs of the pipeline on small movies."""

from __future__ import annotations

from pathlib import Path

from pipeline.__main__ import main

#: Options for frames and clips that are produced quickly.
SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]


def preprocess(corpus: Path | str, out: Path | str, *options: str) -> int:
    """Run `python -m pipeline preprocess` in this process and return its exit code."""
    return main(["preprocess", str(corpus), "--out", str(out), *SMALL, *options])
