"""Movies that benchmarks are run on."""

from __future__ import annotations

from benchmarks.films import cost_films, kind_costs, schedule_films, speed_films

__all__ = [
    "cost_films",
    "kind_costs",
    "schedule_films",
    "speed_films",
]
