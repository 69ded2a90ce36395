"""The plan of the toy movies: deterministic, without gaps, with recurring figures."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from fractions import Fraction
from itertools import groupby
from typing import Any

import pytest

from pipeline.demo import DemoConfig, classes
from pipeline.demo.drawing import figures, motion, places
from pipeline.demo.scenario import FRAME_RATES, event_seconds, plan_movie, plan_movies
from pipeline.demo.sound import voices
from shards_spec.errors import InputError

DEFAULT_MOVIES = plan_movies(DemoConfig())


def test_plan_is_a_function_of_settings_and_index() -> None:
    assert plan_movies(DemoConfig()) == DEFAULT_MOVIES
    assert plan_movie(DemoConfig(num_movies=40), 5) == DEFAULT_MOVIES[5]
    assert plan_movie(DemoConfig(seed=1), 5) != DEFAULT_MOVIES[5]


def test_shots_tile_every_movie() -> None:
    for movie in DEFAULT_MOVIES:
        stops = [shot.stop_frame for shot in movie.shots]
        assert [shot.start_frame for shot in movie.shots] == [0, *stops[:-1]]
        assert stops[-1] == movie.num_frames
        assert all(shot.start_frame < shot.stop_frame for shot in movie.shots)
        assert 60 <= movie.seconds(movie.num_frames) <= 180


def test_every_figure_recurs_and_never_follows_itself() -> None:
    for movie in DEFAULT_MOVIES:
        story = [shot.label for shot in movie.shots if shot.label != classes.BLACK_LABEL]
        assert min(Counter(story).values()) >= 2
        assert 2 <= len(set(story)) <= 8
        assert all(first != second for first, second in itertools.pairwise(story))


def test_every_class_is_in_several_movies() -> None:
    casts = Counter(label for movie in DEFAULT_MOVIES for label in {s.label for s in movie.shots})
    assert set(casts) == {semantic.name for semantic in classes.CLASSES} | {classes.BLACK_LABEL}
    assert min(casts.values()) >= 2


def test_kinds_are_spread_over_the_movies() -> None:
    assert Counter(movie.fps for movie in DEFAULT_MOVIES) == dict.fromkeys(FRAME_RATES, 3)
    assert sum(movie.active_height < 180 for movie in DEFAULT_MOVIES) == 3
    assert sum(movie.active_width < 320 for movie in DEFAULT_MOVIES) == 1
    assert sum(movie.shots[0].label == "black" for movie in DEFAULT_MOVIES) == 3
    assert sum(not shot.audible for movie in DEFAULT_MOVIES for shot in movie.shots) == 3


def test_events_fall_on_whole_beats() -> None:
    shot = dataclasses.replace(
        DEFAULT_MOVIES[0].shots[1],
        start_frame=50,
        stop_frame=100,
        first_beat=2.5,
        beats_per_second=2.0,
    )
    assert event_seconds(shot, Fraction(25)) == [2.25, 2.75, 3.25, 3.75]


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_look_strength_is_the_movies_share_of_the_look(strength: float) -> None:
    movie = plan_movie(DemoConfig(look_strength=strength), 0)
    hues = {round(shot.look.hue, 6) for shot in movie.shots}
    assert len(hues) == (1 if strength == 1.0 else len(movie.shots))


def test_a_class_appears_many_times_or_once() -> None:
    many, one = (
        plan_movie(DemoConfig(appearances=appearances, min_seconds=170), 1)
        for appearances in ("many", "one")
    )
    stretches = [[label for label, _ in groupby(s.label for s in m.shots)] for m in (many, one)]
    assert len(stretches[0]) > 2 * len(set(stretches[0]))
    assert len(stretches[1]) == len(set(stretches[1])) >= 8
    lengths = [len(list(shots)) for _, shots in groupby(s.label for s in one.shots)]
    assert max(lengths) <= min(lengths) + 1


def test_every_class_has_a_figure_a_position_a_motion_and_a_voice() -> None:
    names = {semantic.name for semantic in classes.CLASSES}
    for catalogue in (figures._FIGURES, places._PATTERNS, motion._MOTIONS, voices._VOICES):
        assert set(catalogue) == names


@pytest.mark.parametrize(
    "settings",
    [
        {"num_movies": 0},
        {"seed": -1},
        {"min_seconds": 0.0},
        {"min_seconds": 9.0, "max_seconds": 8.0},
        {"max_seconds": float("nan")},
        {"num_classes": 1},
        {"num_classes": 13},
        {"num_classes": 4, "classes_per_movie": 5},
        {"mean_shot_seconds": 0.0},
        {"appearances": "few"},
        {"look_strength": 1.1},
        {"score_strength": -0.1},
        {"width": 321},
        {"height": 32},
    ],
)
def test_config_rejects(settings: dict[str, Any]) -> None:
    name = list(settings)[-1]
    with pytest.raises(InputError, match=name):
        DemoConfig(**settings)
