"""The command `transfer`: evaluate a run on labeled data sets of others.

The trainer measures and the pipeline decodes, as neither imports the other; `command` joins them.
"""

from __future__ import annotations

from collections.abc import Sequence

from reelshards.packages import can_import
from shards_spec import cli
from shards_spec.cli import ExitCode

PROGRAM = "reelshards"

#: Modules that are needed in addition to those that read datasets.
_NEEDED = ("pipeline.excerpts", "trainer.transfer")


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command; returns the exit code."""
    if not can_import(*_NEEDED):
        return ExitCode.UNUSABLE
    from reelshards.transfer.command import Transfer

    return cli.main(
        {"transfer": Transfer},
        prog=prog,
        description="Evaluate a run on labeled data sets of others.",
        arguments=arguments,
    )
