"""Where clips start: evenly, or so that each stays within one shot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import TooShortError
from pipeline.movie import steps
from pipeline.plan.shots import merge_close_cuts, starts_in_shots
from shards_spec.recipe import Recipe
from tests.support.films.opened import source_of
from tests.support.films.oracle import (
    clip_rows,
    decoded,
    decoded_audio,
    everything,
    plan_of,
    source_frames,
    wrong_frames,
)
from tests.support.films.shots import make_shots
from tests.support.samples import mostly_slow

SHOTS = Recipe(num_frames=8, short_side=112, crop_bars=False, frozen_motion=0.0, clips="shots")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shots(tmp_path_factory.mktemp("shots") / "film.mp4")


@pytest.mark.parametrize("seconds", mostly_slow([1000.0, 3.0, 1.7], (1.7,)))
def test_clips_that_stay_within_one_shot(film: Path, seconds: float) -> None:
    plan = plan_of(film, SHOTS, seconds)
    rows, dropped = clip_rows(plan)
    # Shots of 2.6, 3.4, 0.8, 4.6, 3.6 and 5.0 s hold 1, 2, 0, 2, 2 and 3 clips of 1.6 s.
    expected = [0.0, 2.6, 4.2, 6.8, 8.4, 11.4, 13.0, 15.0, 16.6, 18.2]
    assert [row.start_ns / 1e9 for row in rows] == pytest.approx(expected)
    assert [row.shot_id for row in rows] == [0, 1, 1, 3, 3, 4, 4, 5, 5, 5]
    assert [row.clip_number for row in rows] == list(range(10))
    assert not any(row.num_cuts for row in rows)
    assert dropped == {"too_short": 1}


def test_segments_do_not_change_clips_in_shots(film: Path) -> None:
    one, many = plan_of(film, SHOTS), plan_of(film, SHOTS, seconds=1.7)
    assert len(one.segments) == 1
    assert len(many.segments) >= 3
    assert everything(one) == everything(many)


def test_frames_and_audio_of_clips_in_shots(film: Path) -> None:
    plan = plan_of(film, SHOTS, seconds=3.0)
    assert wrong_frames(plan, source_frames(film)) == 0
    found = [steps.run_segment(plan, segment, source_of(plan))[0] for segment in plan.segments]
    sound, _ = decoded_audio(plan, found)
    assert [clip.clip_number for clip in sound.clips] == list(range(10))
    assert max(abs(clip.skew_ns) for clip in sound.clips) <= 31_250


def test_no_shot_is_long_enough(film: Path) -> None:
    plan = plan_of(film, dataclasses.replace(SHOTS, num_frames=40))
    with pytest.raises(TooShortError, match="none of its 6 shots is as long as a clip"):
        decoded(plan)
    with pytest.raises(TooShortError, match=r"contains no whole clip \(30\.00 s\)"):
        plan_of(film, dataclasses.replace(SHOTS, num_frames=150))


def test_starts_in_shots() -> None:
    """Shots of 10, 3 and 17 steps; clips of 8."""
    assert starts_in_shots(SHOTS, (10, 13), 0, 30) == ((0, 13, 21), ((10, 13),))
    overlapping = dataclasses.replace(SHOTS, overlap_frames=6)
    assert starts_in_shots(overlapping, (10, 13), 0, 30) == (
        (0, 2, 13, 15, 17, 19, 21),
        ((10, 13),),
    )
    # A requested part of the movie that starts in the middle of a shot.
    assert starts_in_shots(SHOTS, (10, 13), 14, 29) == ((14,), ())
    assert starts_in_shots(SHOTS, (), 0, 7) == ((), ((0, 7),))


def test_cuts_that_are_too_close_are_merged() -> None:
    # At 5 fps a shot lasts at least 3 steps.
    assert merge_close_cuts([9, 2, 4, 16, 18, 19], SHOTS) == (2, 9, 16, 19)
