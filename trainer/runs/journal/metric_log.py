"""The metrics of a run: one JSON line per logged step, and optionally TensorBoard events.

Names have the form `area/quantity_unit`. `metrics.jsonl` is in step order and has each step once: a
resumed run first removes the lines after its checkpoint. Metrics that do not exist, such as
within-movie recall with one clip per movie, are left out of the line (JSON has no NaN).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from shards_spec.errors import InputError
from trainer.runs.atomic_files import write_text
from trainer.trackers import Trackers

_NO_TRACKERS = Trackers()

METRICS_JSONL = "metrics.jsonl"
TENSORBOARD = "tensorboard"

#: Areas whose metrics depend on machine and load; all others are equal in equal runs.
TIMED_AREAS = ("time/", "throughput/", "data/", "memory/")


class MetricLog:
    """Appends lines; a context manager."""

    def __init__(
        self, run: Path, first_step: int, *, tensorboard: bool, trackers: Trackers = _NO_TRACKERS
    ) -> None:
        """Open the log of a run that has completed `first_step` steps; later lines are removed."""
        board_class = _board_class() if tensorboard else None
        run.mkdir(parents=True, exist_ok=True)
        drop_lines_after(run / METRICS_JSONL, first_step)
        self._file = (run / METRICS_JSONL).open("a", encoding="utf-8")
        self._trackers = trackers
        self._board: Any = None
        if board_class is not None:
            self._board = board_class(str(run / TENSORBOARD), purge_step=first_step + 1)

    def write(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Add a line for `step` completed steps, the last of them in `epoch`."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._file.write(json.dumps({"step": step, "epoch": epoch, **finite}) + "\n")
        self._file.flush()
        self._trackers.log(step, finite)
        if self._board is not None:
            for name, value in finite.items():
                self._board.add_scalar(name, value, step)

    def show(self, step: int, images: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        """Add images, (N, 3, H, W) in [0, 1], and histograms to TensorBoard, if it is in use."""
        if self._board is None:
            return
        for name, image_NCHW in images.items():
            self._board.add_images(name, image_NCHW, step)
        for name, values in weights.items():
            self._board.add_histogram(name, values, step)

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
    """All lines of a run, in step order; broken lines, as after a crash, are left out."""
    path = run / METRICS_JSONL
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


def drop_lines_after(path: Path, step: int) -> None:
    """Keep the lines up to `step`; the resumed run writes the later ones again."""
    if not path.exists():
        return
    kept = [line for line in read_metrics(path.parent) if line["step"] <= step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def _board_class() -> Any:
    """Raises `InputError` where TensorBoard, which is part of `reelshards[trainer]`, is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard cannot be used ({error}): pip install 'reelshards[trainer]', or train "
            "with --no-tensorboard"
        ) from error
    return SummaryWriter
