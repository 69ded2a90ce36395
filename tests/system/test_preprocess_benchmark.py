"""The page of the measured preprocessing runs: its arithmetic and its verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.films.speed_films import SPEED_FILMS
from benchmarks.preprocess.page import GOALS, figures, page


def measured(floor: float, one: float, many: float, copies: int = 3) -> dict[str, Any]:
    """A round, CPU seconds."""
    facts = {"date": "2026-01-02", "load_average": 1.0, "peak_bytes": 1 << 20, "wall_seconds": 1.0}
    return facts | {"copies": copies, "floor": floor, "one": one, "many": many}


def page_of(**kinds: dict[str, Any]) -> str:
    facts = {"command": "c", "processor": "p", "cpus": 2, "python": "3", "ray": "2", "ffmpeg": "8"}
    return page(facts | {"kinds": kinds})


def test_one_more_movie_costs_the_difference_by_the_copies() -> None:
    found = figures({"rounds": [measured(10.0, 12.0, 28.0)]})
    assert (found.more, found.more_share, found.spread) == (8.0, 1.25, 0.0)
    assert found.one_share == pytest.approx(10 / 12)
    assert figures({"rounds": [measured(10.0, 12.0, 20.0, copies=2)]}).more == 8.0


def test_shares_are_taken_within_a_round() -> None:
    """On a machine that becomes twice as slow, floor and cost grow together."""
    found = figures({"rounds": [measured(10.0, 12.0, 28.0), measured(20.0, 24.0, 56.0)]})
    assert (found.more_share, found.spread) == (1.25, 0.0)


@pytest.mark.parametrize(("many", "verdict"), [(31.0, "not met"), (30.0, "met")])
def test_a_goal_is_met_from_its_share_on(many: float, verdict: str) -> None:
    kind = {"about": "a minute of noise", "rounds": [measured(11.0, 10.0, many)]}
    line = next(line for line in page_of(**{"h264-1080p": kind}).splitlines() if "| 1.1 |" in line)
    assert line.endswith(f"| {verdict} |")


def test_goals_are_of_measured_movies() -> None:
    assert {goal.kind for goal in GOALS} <= {film.name for film in SPEED_FILMS}


def test_efficiency_without_the_start() -> None:
    """Starting takes 6 s; two workers take 0.55 of the time of one for each movie."""
    runs = {
        "date": "2026-01-02",
        "load_average": 2.0,
        "copies": [2, 6],
        "decoders": {"1": {"wall": 9.0, "cpu": 9.0}, "2": {"wall": 10.0, "cpu": 20.0}},
        "1": [{"wall": 26.0, "cpu": 25.0}, {"wall": 66.0, "cpu": 65.0}],
        "2": [{"wall": 17.0, "cpu": 25.0}, {"wall": 39.0, "cpu": 67.0}],
    }
    text = page_of(noise={"about": "a minute of noise", "workers": [runs]})
    assert "| 66.0 s | 39.0 s | **0.85** | 0.91 | 0.90 | 10.0 s, 10.5 s |" in text
