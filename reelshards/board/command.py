"""Arguments and work of the command `board`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from reelshards.board.evaluation import BoardResult, evaluate_tasks, possible_tasks, tasks_named
from reelshards.board.mteb_encoder import MtebEncoder
from shards_spec.cli import ExitCode, print_json, write_lines
from shards_spec.errors import InputError
from trainer.runs.evaluate import load_encoder
from trainer.transfer import untrained

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


@dataclass(frozen=True, kw_only=True)
class Board:
    """Evaluate a run with mteb, on its tasks on audio and video that need no text (MAEB, MVEB).

    mteb downloads the data of its tasks. Each item is split into windows as long as
    the training clips; its vector is the mean over them."""

    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """Run folder, or exported folder; a run may be in a bucket."""
    tasks: tuple[str, ...] = ()
    """Names of tasks, or `file.py:Class` of a task of your own."""
    benchmark: str = ""
    """Also the tasks of this benchmark that need no text, such as `MAEB(v1)` or `MVEB(v1)`."""
    list_tasks: Annotated[bool, tyro.conf.arg(name="list")] = False
    """List the tasks that a run can be evaluated on, and exit."""
    out: Path | None = None
    """JSON file to write: scores, settings, all that mteb reports."""
    results: Path | None = None
    """Folder of mteb's own results, for submissions; tasks that are complete in it are not computed
    again."""
    name: str = ""
    """Model name in results, `organization/model`; by default `reelshards/` and the folder."""
    max_windows: int = 30
    """Maximum number of windows per item, evenly spaced."""
    batch_size: int = 32
    """Items per batch."""
    untrained: bool = False
    """Use the run's networks with initial weights instead: what a run has to beat."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Measure, print and write; 1 if tasks failed."""
        if self.list_tasks:
            return self._list()
        tasks = self._checked_tasks()
        self._write(None)
        clips = load_encoder(self.run_folder, best=self.best, average=self.average)
        name = self.name or f"reelshards/{Path(self.run_folder).resolve().name}"
        if self.untrained:
            clips, name = untrained(clips), self.name or "reelshards/untrained"
        encoder = MtebEncoder(clips, name, self.max_windows)
        found = evaluate_tasks(encoder, tasks, self.results, self.batch_size)
        self._write(found)
        if self.json:
            print_json(found.to_json())
        else:
            write_lines(found.lines())
        return ExitCode.SOME_FAILED if found.failures else ExitCode.DONE

    def _checked_tasks(self) -> list[AbsTask]:
        """What is wrong with the arguments is said before the run is loaded."""
        if not self.run_folder:
            raise InputError("board: name a run folder")
        if self.max_windows < 1 or self.batch_size < 1:
            raise InputError(f"{self.max_windows = }, {self.batch_size = }: at least 1")
        if self.name and len(self.name.split("/")) != 2:
            raise InputError(f"--name {self.name}: expected organization/model")
        tasks = tasks_named(self.tasks, self.benchmark)
        if not tasks:
            raise InputError("board: name --tasks or a --benchmark; --list shows them")
        return tasks

    def _write(self, found: BoardResult | None) -> None:
        """Write `--out`; without a result, only make sure that it can be written."""
        if self.out is None:
            return
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            with self.out.open("a"):
                pass
            if found is not None:
                self.out.write_text(json.dumps(found.to_json(), indent=1) + "\n")
        except OSError as error:
            raise InputError(f"--out {self.out} cannot be written: {error}") from error

    def _list(self) -> int:
        tasks = [task.metadata for task in possible_tasks()]
        if self.json:
            print_json([{"task": t.name, "type": t.type, "category": t.category} for t in tasks])
        else:
            width = max(len(task.name) for task in tasks)
            write_lines([f"{t.name:{width}}  {t.type}, {t.category}" for t in tasks])
        return ExitCode.DONE
