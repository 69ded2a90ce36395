"""What ffmpeg alone costs for the frames of a movie, step by step: the limit of a whole run."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.process import enlarge
from pipeline.movie import steps
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.recipe import Recipe

_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error")
_SEGMENT_SECONDS = 1e6
_NOWHERE = ("-fps_mode", "passthrough", "-f", "null", "-")


def measure_limits(path: Path, floor: Sequence[str], decode: str, rounds: int) -> dict[str, float]:
    """CPU seconds, medians over rounds in which the commands take turns; `floor` is one of them."""
    # Usually one; an expression for packets to leave out covers a limited time.
    runs = [command for command in _commands(path, decode) if "-debug_ts" in command]
    commands = {
        "floor": [list(floor)],
        "decode": [[*_input(run), "-map", "0:v:0", *_NOWHERE, *_QUIET] for run in runs],
        "frames": [[*run[: run.index("-loglevel")], *_QUIET[-2:]] for run in runs],
        "reports": runs,
    }
    costs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, parts in commands.items():
            costs[name].append(sum(map(_cost, parts)))
    return {name: statistics.median(found) for name, found in costs.items()}


def _input(command: list[str]) -> list[str]:
    """The part of a command up to its input."""
    return command[: command.index("-filter_complex")]


def _commands(path: Path, decode: str) -> list[list[str]]:
    """All commands that a movie needs."""
    commands: list[list[str]] = []
    start = FfmpegProcess.__init__

    def noted(process: FfmpegProcess, command: list[str], *args: Any, **options: Any) -> None:
        commands.append(command)
        start(process, command, *args, **options)

    (movie,) = find_movies(str(path))
    recipe = Recipe(fast_decode=decode == "fast")
    with open_source(movie, fingerprint(movie)) as source:
        # One segment: the command of an earlier one does not say where it ends.
        plan = steps.prepare(movie, source, recipe, _SEGMENT_SECONDS)
        FfmpegProcess.__init__ = noted  # type: ignore[method-assign]
        try:
            for segment in plan.segments:
                steps.run_segment(plan, segment, source)
        finally:
            FfmpegProcess.__init__ = start  # type: ignore[method-assign]
    return commands


def _cost(command: Sequence[str]) -> float:
    """CPU seconds of a command whose output is read in large pieces, as the pipeline does."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        enlarge(process.stdout.fileno())
        while process.stdout.read(1 << 20):
            pass
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return usage.ru_utime + usage.ru_stime
