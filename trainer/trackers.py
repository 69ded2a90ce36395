"""Optional services that show a run's curves: Weights & Biases, and trackio.

Each is imported when a run asks for it, and gets the same values as `metrics.jsonl`. Offline modes
are theirs: `WANDB_MODE=offline` writes into the run folder and sends nothing; trackio writes to
`TRACKIO_DIR` on this machine unless `TRACKIO_SPACE_ID` names a space.
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
    names: Sequence[str],
    project: str,
    run: Path,
    config: Mapping[str, Any],
    *,
    identity: str = "",
) -> Iterator[Trackers]:
    """The services by name (`wandb`, `trackio`), with this run opened or resumed in each.

    Args:
        names: of the services.
        project: where the services file the run.
        run: the run folder on this machine.
        config: the run's settings.
        identity: URI of a run in a bucket, whose folder on this machine is another one each time.

    Raises `InputError` when a package is not installed, or refuses to start.
    """
    services = [(name, _imported(name)) for name in names]
    identity = (identity or str(run.resolve())).rstrip("/")
    # The same folder is the same run, also when it is resumed.
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    title = identity.rpartition("/")[2]
    with contextlib.ExitStack() as stack:
        runs = []
        for name, service in services:
            settings: dict[str, Any] = {"project": project, "config": config, "resume": "allow"}
            if name == "wandb":
                settings |= {"name": title, "id": digest, "dir": str(run)}
            else:
                # trackio knows runs by their name.
                settings |= {"name": f"{title}-{digest[:6]}"}
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
