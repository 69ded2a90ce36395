"""`python -m reelshards`, and the console script `reelshards`."""

from __future__ import annotations

from typing import NoReturn

from reelshards.commands import main
from shards_spec.process import run_process


def script() -> NoReturn:
    """Run the command on the command line and end the process with its exit code."""
    run_process(main)


if __name__ == "__main__":
    script()
