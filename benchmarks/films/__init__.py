"""Movies that benchmarks are run on."""

from __future__ import annotations

from benchmarks.films.cost_films import KINDS, Kind, make_films, make_repeated
from benchmarks.films.kind_costs import KindCosts
from benchmarks.films.schedule_films import (
    PASSING,
    PERMANENT,
    SEGMENT_SECONDS,
    Costs,
    make_film,
    read_costs,
)
from benchmarks.films.speed_films import SPEED_FILMS, SpeedFilm, speed_film

__all__ = [
    "KINDS",
    "PASSING",
    "PERMANENT",
    "SEGMENT_SECONDS",
    "SPEED_FILMS",
    "Costs",
    "Kind",
    "KindCosts",
    "SpeedFilm",
    "make_film",
    "make_films",
    "make_repeated",
    "read_costs",
    "speed_film",
]
