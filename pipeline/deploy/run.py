"""The driver as a Ray job: `ray submit CLUSTER.yaml run.py CORPUS OUT [options]`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    corpus, out, *options = sys.argv[1:]
    command = ["preprocess", corpus, "--out", out, "--address", "auto", *options]
    # The same process, so that signals reach the run.
    os.execv(sys.executable, [sys.executable, "-m", "pipeline", *command])
