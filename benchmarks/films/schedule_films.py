"""Movies for the simulation `benchmarks.schedule`: measured costs, assumed lengths and failures."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.films.kind_costs import KindCosts
from pipeline import errors
from pipeline.engine.jobs import Unit
from pipeline.errors import MovieError
from shards_spec.errors import StorageError

SEGMENT_SECONDS = 300.0

#: Share of attempts that end this way after half of their time. Assumed.
PASSING: dict[type[Exception], float] = {
    errors.TimedOutError: 0.003,
    errors.SourceError: 0.003,
    StorageError: 0.001,
    errors.KilledError: 0.002,
    errors.OutOfMemoryError: 0.001,
    errors.DiskFullError: 0.0005,
    errors.LostError: 0.003,
}
#: Share of movies that end this way, in one of their tasks. Assumed.
PERMANENT: dict[type[MovieError], tuple[str, float]] = {
    errors.UnreadableError: ("prepare", 0.005),
    errors.DecodeError: ("segment", 0.003),
    errors.NoFramesError: ("segment", 0.001),
    errors.AllDroppedError: ("write", 0.001),
}


@dataclass(frozen=True)
class Costs:
    """What tasks take, as measured."""

    kinds: dict[str, KindCosts]
    spread: dict[str, float]
    """By task: standard deviation between movies of the logarithm of its cost."""
    passing: dict[type[Exception], float] = field(default_factory=lambda: PASSING)
    permanent: dict[type[MovieError], tuple[str, float]] = field(default_factory=lambda: PERMANENT)


@dataclass(frozen=True)
class Film:
    """One simulated movie."""

    seconds: float
    costs: KindCosts
    factors: dict[str, float]
    """By task: how much more it takes than the kind's mean."""
    broken: tuple[str, type[MovieError]] | None
    """The task that finds that it cannot be used, and how."""

    def task_seconds(self, unit: Unit) -> float:
        """Seconds of one core."""
        costs, length = self.costs, self.seconds
        if unit.kind == "segment":
            number = unit.segment.number if unit.segment else 0
            length = min(SEGMENT_SECONDS, length - number * SEGMENT_SECONDS)
        fixed = costs.prepare_seconds if unit.kind == "prepare" else 0.0
        rate: float = getattr(costs, unit.kind)
        return (fixed + rate * length) * self.factors[unit.kind]


def read_costs(path: Path) -> Costs:
    """The costs that `benchmarks.costs` measured."""
    record = json.loads(path.read_text())
    kinds = {name: KindCosts(**costs) for name, costs in record["kinds"].items()}
    return Costs(kinds, record["spread"])


def film_seconds(rng: random.Random) -> float:
    """A length as in a typical library: features of about 105 minutes, shorts, a few epics."""
    kind = rng.random()
    if kind < 0.12:
        return rng.uniform(120, 2400)
    minutes = rng.lognormvariate(math.log(104), 0.20)
    return 60 * min(max(minutes, 45), 330)


def make_film(rng: random.Random, costs: Costs) -> Film:
    """A movie of any kind, drawn from the measured spread of costs."""
    factors = {
        task: rng.lognormvariate(-(spread**2) / 2, spread) for task, spread in costs.spread.items()
    }
    broken, draw = None, rng.random()
    for error, (task, share) in costs.permanent.items():
        if broken is None and draw < share:
            broken = (task, error)
        draw -= share
    return Film(film_seconds(rng), rng.choice(list(costs.kinds.values())), factors, broken)
