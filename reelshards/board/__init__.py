"""Evaluates runs on public benchmarks: mteb's tasks on audio and video without text, and HEAR.

    windows       parts of an item, each as long as a training clip
    waveforms     audio of any layout, type and rate         videos     likewise frames
    items         the items that mteb passes                 pooling    the mean over windows
    mteb_encoder  mteb's encoder protocol                    hear       HEAR's API
    evaluation    tasks, results                             command    `reelshards board`

mteb is imported by functions, so that HEAR does not need it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from reelshards.packages import can_import
from shards_spec import cli
from shards_spec.cli import ExitCode

PROGRAM = "reelshards"

#: Modules that are needed in addition to those that read datasets.
_NEEDED = ("pipeline.excerpts", "trainer.runs.evaluate")


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command; returns the exit code."""
    if not can_import(*_NEEDED):
        return ExitCode.UNUSABLE
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if find_spec("mteb") is None and not asks_for_help:
        sys.stderr.write(
            "error: board needs mteb, which is not installed; "
            "install it with: pip install 'reelshards[board]'\n"
        )
        return ExitCode.UNUSABLE
    from reelshards.board.command import Board

    return cli.main(
        {"board": Board}, prog=prog, description="Evaluate a run with mteb.", arguments=arguments
    )
