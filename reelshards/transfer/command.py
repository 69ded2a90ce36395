"""Arguments and work of the command `transfer`."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from pipeline.excerpts import read_excerpts
from shards_spec.cli import ExitCode, print_json, write_lines
from shards_spec.errors import InputError
from trainer.runs.evaluate import load_encoder
from trainer.transfer import Protocol, Task, Windows, read_layout, transfer, untrained


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Evaluate a run on a labeled data set by its official folds: nearest neighbors, a linear
    probe, or fine-tuning, with several windows and crops of each file."""

    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, or exported folder; a run may be in a bucket."""
    task: Task
    """The data set."""
    root: Path
    """Its folder, with lists and files as published."""
    folds: tuple[str, ...] = ()
    """Official folds to use, by name; all by default."""
    out: Path | None = None
    """JSON file to write: protocol, every figure, spread, missing files."""
    cache: Path | None = None
    """Folder for decoded windows, which several runs can share; by default a temporary one."""
    untrained: bool = False
    """Use the run's networks with initial weights instead: what a run has to beat."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""
    json: bool = False
    """Print JSON instead of a table."""
    protocol: tyro.conf.OmitArgPrefixes[Protocol] = field(default_factory=Protocol)

    def run(self) -> int:
        """Measure, print and write; 1 if files were missing or unreadable."""
        # What is wrong with the folders is said before the run is loaded.
        labeled = read_layout(self.task, self.root).with_folds(self.folds)
        _require_writable(self.out)
        encoder = load_encoder(self.run_folder, best=self.best, average=self.average)
        name = Path(self.run_folder).name or self.run_folder
        if self.untrained:
            encoder, name = untrained(encoder), "untrained"

        def read(path: Path, num_windows: int, video: bool, audio: bool) -> Windows:
            found = read_excerpts(path, encoder.recipe, num_windows, video=video, audio=audio)
            return Windows(found.strips, found.logmel)

        with tempfile.TemporaryDirectory(prefix="reelshards-transfer-") as folder:
            cache = self.cache or Path(folder)
            found = transfer(self.task, name, encoder, labeled, read, self.protocol, cache)
        if self.out is not None:
            _write(self.out, found.to_json())
        if self.json:
            print_json(found.to_json())
        else:
            write_lines(found.lines())
        is_whole = not found.missing and not found.unreadable
        return ExitCode.DONE if is_whole else ExitCode.SOME_FAILED


def _require_writable(out: Path | None) -> None:
    """Raise `InputError` now rather than after hours, if `--out` cannot be written."""
    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a"):
            pass
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error}") from error


def _write(out: Path, values: dict[str, Any]) -> None:
    try:
        out.write_text(json.dumps(values, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error}") from error
