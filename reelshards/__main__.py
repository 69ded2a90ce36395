"""`python -m reelshards`, and the console script `reelshards`."""

from __future__ import annotations

from typing import NoReturn

from reelshards.commands import main
from shards_spec.cli import end_process


def script() -> NoReturn:
    """Run the command on the command line and end the process with its exit code."""
    end_process(main())


if __name__ == "__main__":
    script()
