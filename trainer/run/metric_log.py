"""What a run measures, step by step: one JSON line each, and TensorBoard beside it.

Names are `area/quantity_unit`. Lines appear in `metrics.jsonl` in step order and every step stands
there once: a resumed run first drops the lines after its checkpoint. Figures that do not exist,
such as within-movie recall with one clip a movie, are left out of the line (JSON has no NaN).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from trainer.run.atomic_files import write_text

METRICS_JSONL = "metrics.jsonl"
TENSORBOARD = "tensorboard"

#: Areas whose figures depend on the machine and the hour; all others are equal in equal runs.
TIMED_AREAS = ("time/", "throughput/", "data/", "memory/")


class MetricLog:
    """Appends lines; a context manager."""

    def __init__(self, run: Path, first_step: int, *, tensorboard: bool) -> None:
        """Open the log of a run that has `first_step` steps behind it; later lines are dropped."""
        run.mkdir(parents=True, exist_ok=True)
        drop_lines_after(run / METRICS_JSONL, first_step)
        self._file = (run / METRICS_JSONL).open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=first_step + 1)

    def write(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Add the line of a step: `step` steps are done, the last one in `epoch`."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._file.write(json.dumps({"step": step, "epoch": epoch, **finite}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in finite.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> MetricLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All lines of a run, in step order; a line that a crash cut off is left out."""
    path = run / METRICS_JSONL
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def drop_lines_after(path: Path, step: int) -> None:
    """Keep the lines up to `step`; those after it will be written again."""
    if not path.exists():
        return
    kept = [line for line in read_metrics(path.parent) if line["step"] <= step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
