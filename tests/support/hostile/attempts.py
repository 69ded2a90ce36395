"""Runs every command that opens a dataset on mutants, in one process; a line of JSON for each.

    python -m tests.support.hostile.attempts CLEAN RUN SECONDS FIRST LAST

Mutants FIRST to LAST - 1 of the dataset CLEAN are made one after the other in a temporary folder;
RUN is a run that was trained on CLEAN. A command that takes longer than SECONDS ends the process
with the stacks of all threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import io
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from shards_spec import cli
from shards_spec.__main__ import Inspect, Validate
from shards_spec.process import peak_rss_bytes
from tests.support.hostile.mutants import make_mutant
from tests.support.hostile.outside import OpenedFiles
from trainer.config import TrainConfig
from trainer.plan_report import plan_command
from trainer.runs.config_file import saved_config
from trainer.runs.evaluate.evaluation import evaluate
from trainer.train import train

CLIP = "movie-001_000003"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """How one command ended."""

    command: str
    code: int
    seconds: float
    memory_bytes: int
    """The most memory of the process while it ran."""
    output: str
    """Of stdout, stderr and the log; a traceback if it raised."""


def attempts(uri: str, run: Path, config: TrainConfig, folder: Path) -> Iterator[Attempt]:
    """Every command on a dataset."""
    new_run, images = folder / "run", folder / "images"

    def trained() -> int:
        return 0 if train(uri, new_run, config).steps_done else 1

    def evaluated() -> int:
        return 0 if evaluate(uri, run).steps_done else 1

    yield attempt("validate", Validate(uri).run)
    yield attempt("validate --quick", Validate(uri, quick=True).run)
    yield attempt("inspect", Inspect(uri).run)
    yield attempt("inspect --json", Inspect(uri, json=True).run)
    yield attempt("inspect clip", Inspect(uri, CLIP, out=images).run)
    yield attempt("plan", lambda: plan_command(uri, config.policy, 0, 1, "", True))
    yield attempt("train", trained)
    yield attempt("evaluate", evaluated)


def attempt(command: str, work: Callable[[], int]) -> Attempt:
    """Run one command as the command line does."""
    Path("/proc/self/clear_refs").write_text("5")
    begin = time.monotonic()
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    logging.getLogger().addHandler(handler)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = cli.run_reporting_errors(work)
        except Exception:  # noqa: BLE001 - what is looked for
            code = -1
            output.write(traceback.format_exc())
    logging.getLogger().removeHandler(handler)
    return Attempt(command, code, time.monotonic() - begin, peak_rss_bytes(), output.getvalue())


def main(clean: str, run: str, seconds: str, first: str, last: str) -> int:
    """Print a line for the clean dataset, then for each mutant."""
    torch.set_num_threads(1)
    config = saved_config(Path(run))
    assert config is not None
    config = dataclasses.replace(config, steps=1, checkpoint_every=9)
    real_stdout = sys.stdout
    with OpenedFiles(Path(clean)) as opened:
        for seed in [-1, *range(int(first), int(last))]:
            faulthandler.dump_traceback_later(8 * float(seconds), exit=True, file=2)
            with tempfile.TemporaryDirectory(prefix="mutant-") as text:
                folder = Path(text)
                said = "clean"
                data = Path(clean)
                if seed >= 0:
                    data = folder / "data"
                    said = make_mutant(Path(clean), data, seed)
                opened.names()
                done = list(attempts(str(data), Path(run), config, folder))
                names = opened.names() if seed >= 0 else []
                _make_removable(folder)
            values: dict[str, Any] = {
                "seed": seed,
                "mutant": said,
                "opened": names,
                "attempts": [dataclasses.asdict(one) for one in done],
            }
            real_stdout.write(json.dumps(values) + "\n")
            real_stdout.flush()
    return 0


def _make_removable(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
