"""The driver as a Ray job: `ray submit CLUSTER.yaml run.py CORPUS OUT [options]`."""

from __future__ import annotations

import sys

from pipeline.__main__ import main

if __name__ == "__main__":
    corpus, out, *options = sys.argv[1:]
    sys.exit(main(["preprocess", corpus, "--out", out, "--address", "auto", *options]))
