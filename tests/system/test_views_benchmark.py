"""The comparison of several views with runs of their own: its commands and its arithmetic."""

from __future__ import annotations

from typing import Any

from benchmarks.decoding.views import RUNS, more_seconds, options, page
from pipeline.views import parse_views


def measured(same_bytes: bool = True, **costs: tuple[float, float]) -> dict[str, Any]:
    """A round of three copies: CPU seconds of one movie and of all by run."""
    return {
        "date": "2026-01-02",
        "load_average": 1.5,
        "copies": 3,
        "costs": {run: {"one": one, "many": many} for run, (one, many) in costs.items()},
        "same_bytes": same_bytes,
    }


def table(*rounds: dict[str, Any]) -> str:
    facts = {"command": "c", "processor": "p", "cpus": 2, "python": "3", "ray": "2", "ffmpeg": "8"}
    kinds = {"noise": {"about": "a minute of noise", "rounds": list(rounds)}}
    return page(facts | {"kinds": kinds})


def test_the_runs_have_the_same_settings() -> None:
    texts = options(RUNS["both"])[1::2]
    views = {"small": {"fps": 5, "short_side": 128}, "large": {"fps": 1, "short_side": 256}}
    assert parse_views(texts) == views
    assert options(RUNS["large"]) == ["--fps", "1", "--short-side", "256"]
    assert texts[1] == "large:fps=1,short-side=256"


def test_one_more_movie_costs_the_difference() -> None:
    found = measured(both=(20.0, 40.0), small=(12.0, 28.0), large=(10.0, 16.0))
    assert [more_seconds(found, run) for run in RUNS] == [10.0, 8.0, 3.0]


def test_ratios_are_taken_within_a_round() -> None:
    rounds = (
        measured(both=(20.0, 40.0), small=(12.0, 28.0), large=(8.0, 14.0)),
        measured(both=(30.0, 60.0), small=(30.0, 70.0), large=(20.0, 40.0)),
    )
    text = table(*rounds)
    assert "one movie, cold | 25.0 s | 21.0 s | 14.0 s | **0.80** | **1.33** | yes |" in text
    assert "one more movie | 12.5 s | 14.0 s | 6.5 s | **0.70** | **1.00** | yes |" in text


def test_other_bytes_are_reported() -> None:
    costs = {"both": (20.0, 40.0), "small": (12.0, 28.0), "large": (8.0, 14.0)}
    assert "| NO |" in table(measured(**costs), measured(same_bytes=False, **costs))
