"""What a validation found: problems counted by check, with the first few of each as examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rich.table import Table
from rich.text import Text

from shards_spec.validation.spread import Spread

#: Problems of a check that are shown; all are counted.
MAX_EXAMPLES = 5

#: Every check, in the order of the report.
CHECKS = {
    "dataset_json": "keys, version, recipe and its fingerprint",
    "schema": "columns and types of both tables, no nulls",
    "sorted": "rows of both tables stand in their order",
    "commits": "the index equals the commit records",
    "totals": "totals in dataset.json equal the index",
    "movies": "status, error, clips, shards and bytes of each movie",
    "structure": "every shard of the index exists; numbers without gaps",
    "purity": "shard, clip id and movie agree",
    "unique": "no clip id twice",
    "permutation": "each clip number of a movie once",
    "time": "the clip grid, inside the movie, no overlap",
    "recipe": "frames, rates and sizes are the recipe's",
    "ranges": "byte ranges cover each shard without gap, up to its two end blocks",
    "checksum": "crc32c of every byte range",
    "members": "each range holds exactly its sample's tar members",
    "frames": "film strips decode to the row's shape",
    "logmel": "spectrograms decode to the recipe's shape, finite",
    "audio": "optional FLAC streams: mono, the recipe's rate and length",
    "row": "the .json member equals the index",
    "stray": "shards that no commit lists (warning)",
    "temporary": "remains of broken writes (warning)",
}
WARNINGS = frozenset({"stray", "temporary"})

#: Checks that read the clips' bytes.
BYTE_CHECKS = frozenset({"checksum", "members", "frames", "logmel", "audio", "row"})


@dataclass(frozen=True)
class Problem:
    """One thing that is not as the format says."""

    check: str
    """A key of `CHECKS`."""
    where: str
    """Key of the object, or id of the movie."""
    message: str
    """What was found and what was expected."""
    clip_id: str = ""
    """Empty when the problem is not one clip's."""

    def __str__(self) -> str:
        return f"{self.where}{f' clip {self.clip_id}' if self.clip_id else ''}: {self.message}"


@dataclass(frozen=True)
class CheckResult:
    """One check over the whole dataset."""

    name: str
    num_problems: int
    examples: tuple[Problem, ...]
    """The first few problems."""
    skipped: bool = False
    """Not run: `--quick`, or an earlier problem left nothing to check."""

    @property
    def state(self) -> str:
        """`ok`, `failed`, `warning` or `skipped`."""
        if self.num_problems:
            return "warning" if self.name in WARNINGS else "failed"
        return "skipped" if self.skipped else "ok"


@dataclass(frozen=True)
class Report:
    """The outcome of a validation."""

    uri: str
    num_movies: int
    num_clips: int
    num_shards: int
    shard_bytes: int
    checks: tuple[CheckResult, ...]
    spread: Spread | None
    """How far apart in time the clips of a run stand; None without clips."""

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return not any(check.state == "failed" for check in self.checks)

    def check(self, name: str) -> CheckResult:
        """The result of one check."""
        return next(check for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        checks = [
            {"state": check.state, "about": CHECKS[check.name], **dataclasses.asdict(check)}
            for check in self.checks
        ]
        return {"ok": self.ok, **dataclasses.asdict(self), "checks": checks}

    def to_table(self) -> Table:
        """A table for the terminal."""
        table = Table(title=Text(self.uri), title_justify="left")
        for name in ("check", "result", "about"):
            table.add_column(name, no_wrap=name != "about")
        colours = {"ok": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim"}
        for check in self.checks:
            count = f" {check.num_problems:,}" if check.num_problems else ""
            colour = colours[check.state]
            result = f"[{colour}]{check.state}{count}[/{colour}]"
            table.add_row(check.name, result, CHECKS[check.name])
        return table


class Collector:
    """Counts problems from many threads and keeps the first few of each check."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys(CHECKS, 0)
        self._examples: dict[str, list[Problem]] = {name: [] for name in CHECKS}
        self._skipped: set[str] = set()
        self._lock = Lock()

    def add(self, problems: Iterable[Problem]) -> None:
        """Count problems."""
        for problem in problems:
            with self._lock:
                self._counts[problem.check] += 1
                examples = self._examples[problem.check]
                if len(examples) < MAX_EXAMPLES:
                    examples.append(problem)

    def skip(self, names: Iterable[str]) -> None:
        """Mark checks as not run."""
        self._skipped.update(names)

    def results(self) -> tuple[CheckResult, ...]:
        """One result per check, in the order of `CHECKS`; examples sorted by place."""
        return tuple(
            CheckResult(
                name,
                self._counts[name],
                tuple(sorted(self._examples[name], key=lambda one: (one.where, one.clip_id))),
                name in self._skipped,
            )
            for name in CHECKS
        )
