"""The command `transfer`: evaluate a run on labeled data sets of others.

The trainer measures and the pipeline decodes, as neither imports the other; `command` joins them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from reelshards.packages import attribute
from shards_spec import cli
from shards_spec.cli import ExitCode

PROGRAM = "reelshards"

#: Needed in addition to what reads datasets.
_NEEDED = ("pipeline.excerpts", "trainer.transfer")


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command; returns the exit code."""
    try:
        for module in _NEEDED:
            attribute(module)
    except ImportError as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.UNUSABLE
    from reelshards.transfer.command import Transfer

    return cli.run_reporting_errors(
        lambda: cli.parse(
            {"transfer": Transfer},
            arguments,
            prog=prog,
            description="Evaluate a run on labeled data sets of others.",
        ).run()
    )
