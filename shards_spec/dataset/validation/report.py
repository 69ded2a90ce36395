"""Result of a validation: the problems of each check, counted, with the first few as examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rich.table import Table
from rich.text import Text

from shards_spec.dataset.validation.spread import Spread

#: Problems that are kept per check; all are counted.
MAX_EXAMPLES = 5

#: Every check, in the order of the report.
CHECKS = {
    "dataset_json": "keys, version, recipe and its fingerprint",
    "schema": "columns and types of both tables, nulls",
    "sorted": "rows of both tables are in order",
    "commits": "index and commit records agree",
    "dropped": "dropped clips of each movie: times, numbers, counts",
    "labels": "labels: movies, times, tables by clip",
    "duplicates": "near-duplicates and fingerprints: movies, times, kinds",
    "totals": "totals in dataset.json agree with the index",
    "movies": "status, error, clips, shards and bytes of each movie",
    "structure": "every shard in the index exists; numbers without gaps",
    "purity": "shard, clip id and movie agree",
    "unique": "no duplicate clip ids",
    "permutation": "no duplicate clip numbers in a movie",
    "time": "clips on the grid, inside the movie, without overlap",
    "recipe": "frames, rates and sizes as in the recipe",
    "ranges": "byte ranges cover each shard without gaps, up to its two end blocks",
    "checksum": "crc32c of every byte range",
    "members": "each byte range has exactly its sample's tar members",
    "frames": "film strips decode to the shape in the index",
    "logmel": "log-mels decode to the recipe's shape, finite values",
    "audio": "optional FLAC: mono, rate and length as in the index",
    "row": "the .json member agrees with the index",
    "stray": "objects that readers ignore (warning)",
    "temporary": "leftovers of interrupted writes (warning)",
}
WARNINGS = frozenset({"stray", "temporary"})

#: Checks that read the clips' bytes.
BYTE_CHECKS = frozenset({"checksum", "members", "frames", "logmel", "audio", "row"})


@dataclass(frozen=True)
class Problem:
    """One violation of the format."""

    check: str
    """A key of `CHECKS`."""
    where: str
    """Key of the object, or movie id."""
    message: str
    """What was found, and what was expected."""
    clip_id: str = ""
    """Empty if the problem is not about one clip."""

    def __str__(self) -> str:
        return f"{self.where}{f' clip {self.clip_id}' if self.clip_id else ''}: {self.message}"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check for the whole dataset."""

    name: str
    num_problems: int
    examples: tuple[Problem, ...]
    """The first few problems."""
    skipped: bool = False
    """Not run: `--quick`, or nothing to check because of an earlier problem."""

    @property
    def state(self) -> str:
        """`ok`, `failed`, `warning` or `skipped`."""
        if self.num_problems:
            return "warning" if self.name in WARNINGS else "failed"
        return "skipped" if self.skipped else "ok"


@dataclass(frozen=True)
class Report:
    """Result of a validation."""

    uri: str
    num_movies: int
    num_clips: int
    num_shards: int
    shard_bytes: int
    checks: tuple[CheckResult, ...]
    spread: Spread | None
    """How far apart in time the clips of a run are; None without clips."""

    @property
    def ok(self) -> bool:
        """Whether no check failed, warnings aside."""
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
        colors = {"ok": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim"}
        for check in self.checks:
            count = f" {check.num_problems:,}" if check.num_problems else ""
            color = colors[check.state]
            result = Text(f"{check.state}{count}", color)
            table.add_row(check.name, result, CHECKS[check.name])
        return table


class Collector:
    """Collects problems from many threads: counts all, keeps the first few of each check."""

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
        """One result per check, in the order of `CHECKS`; examples sorted by location."""
        return tuple(
            CheckResult(
                name,
                self._counts[name],
                tuple(sorted(self._examples[name], key=lambda item: (item.where, item.clip_id))),
                name in self._skipped,
            )
            for name in CHECKS
        )
