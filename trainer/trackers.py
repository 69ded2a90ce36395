"""Optional services that show a run's curves: Weights & Biases, and trackio.

Each is imported when a run asks for it, and gets the same values as `metrics.jsonl`. Offline modes
are theirs: `WANDB_MODE=offline` writes into the run folder and sends nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards_spec.errors import InputError


@dataclass(frozen=True)
class Trackers:
    """The services that are in use."""

    runs: tuple[Any, ...] = ()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the values of a step."""
        for run in self.runs:
            run.log(dict(values), step=step)


@contextlib.contextmanager
def open_trackers(
    names: Sequence[str], project: str, run: Path, config: Mapping[str, Any]
) -> Iterator[Trackers]:
    """The services by name (`wandb`, `trackio`), with this run opened or resumed in each.

    Raises `InputError` when a package is not installed, or refuses to start.
    """
    services = [(name, _imported(name)) for name in names]
    with contextlib.ExitStack() as stack:
        runs = []
        for name, service in services:
            settings: dict[str, Any] = {"project": project, "name": run.name, "config": config}
            if name == "wandb":
                # The same folder is the same run, also when it is resumed.
                digest = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
                settings |= {"id": digest, "resume": "allow", "dir": str(run)}
            try:
                opened = service.init(**settings)
            except Exception as error:
                raise InputError(f"--trackers {name}: it cannot be started: {error}") from error
            stack.callback(opened.finish)
            runs.append(opened)
        yield Trackers(tuple(runs))


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--trackers {name}: it is not installed: pip install {name}") from error
