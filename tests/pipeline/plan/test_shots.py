"""Shots: cuts found where they are, counted in clips, and clips that keep to one shot."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import TooShortError
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.movie import steps
from pipeline.movie.frames import MovieFrames
from pipeline.movie.selection import join_clips
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.shots import apart, starts_in_shots
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipRow
from tests.support.films.media import Film as NumberedFilm
from tests.support.films.media import draw_frame
from tests.support.films.oracle import decoded, everything, plan_of, source_frames, wrong_frames

UNIFORM = Recipe(num_frames=8, short_side=112, crop_bars=False, frozen_motion=0.0)
SHOTS = dataclasses.replace(UNIFORM, clips="shots")
FPS = 25
#: Seconds at which a new shot starts, all on the grid of 5 steps a second. The third shot lasts
#: 0.8 s, less than a clip of 1.6 s.
CUTS = (2.6, 6.0, 6.8, 11.4, 15.0)
SECONDS = 20.0
# Dark and bright by turns: the detector weighs hue, saturation and value alike.
_TINTS = ((20, 20, 20), (230, 240, 230), (20, 20, 40), (240, 230, 230), (10, 20, 10), (240,) * 3)


def shot_frame(number: int) -> NDArray[np.uint8]:
    shot = int(np.searchsorted(CUTS, number / FPS + 1e-9, side="right"))
    return draw_frame(number, NumberedFilm(tint=_TINTS[shot], flash_seconds=1000.0))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shots") / "film.mp4"
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "192x112", "-r", str(FPS), "-i", "pipe:0", "-f", "lavfi", "-i", "sine"]
    command += ["-shortest", "-c:v", "libx264", "-g", "30", "-bf", "2", "-c:a", "aac", str(path)]
    frames = b"".join(shot_frame(number).tobytes() for number in range(int(SECONDS * FPS)))
    subprocess.run(command, input=frames, check=True, timeout=120)
    return path


def rows_of(plan: MoviePlan) -> tuple[list[ClipRow], dict[str, int]]:
    """The rows of a movie's clips in the order of time, and how many were dropped."""
    segments = [steps.run_segment(plan, segment) for segment in plan.segments]
    found = [segment for segment, _ in segments]
    sound = steps.run_audio(plan, found)[0]
    plan = steps.placed(plan, found)
    clips, dropped = join_clips(plan, MovieFrames(plan, segments), sound.clips)
    rows = sorted((clip.row for clip in clips), key=lambda row: row.start_ns)
    return rows, {str(reason): count for reason, count in dropped.items()}


@pytest.mark.parametrize("seconds", [1000.0, 3.0, 1.7])
def test_cuts_are_counted_wherever_segments_are_cut(film: Path, seconds: float) -> None:
    rows, _ = rows_of(plan_of(film, UNIFORM, seconds))
    starts = [row.start_ns / 1e9 for row in rows]
    assert starts == pytest.approx([1.6 * i for i in range(12)])
    # A frame belongs to the shot that it starts; the last frame of a clip stands 1.4 s after
    # its first.
    shots = [sum(cut <= start + 1e-6 for cut in CUTS) for start in starts]
    last = [sum(cut <= start + 1.4 + 1e-6 for cut in CUTS) for start in starts]
    assert [row.shot_id for row in rows] == shots
    assert [row.num_cuts for row in rows] == [b - a for a, b in zip(shots, last, strict=True)]


@pytest.mark.parametrize("seconds", [1000.0, 3.0, 1.7])
def test_clips_that_keep_to_one_shot(film: Path, seconds: float) -> None:
    plan = plan_of(film, SHOTS, seconds)
    rows, dropped = rows_of(plan)
    # Shots of 2.6, 3.4, 0.8, 4.6, 3.6 and 5.0 s hold 1, 2, 0, 2, 2 and 3 clips of 1.6 s.
    expected = [0.0, 2.6, 4.2, 6.8, 8.4, 11.4, 13.0, 15.0, 16.6, 18.2]
    assert [row.start_ns / 1e9 for row in rows] == pytest.approx(expected)
    assert [row.shot_id for row in rows] == [0, 1, 1, 3, 3, 4, 4, 5, 5, 5]
    assert [row.clip_number for row in rows] == list(range(10))
    assert not any(row.num_cuts for row in rows)
    assert dropped == {"too_short": 1}


def test_segments_change_no_byte_of_clips_in_shots(film: Path) -> None:
    one, many = plan_of(film, SHOTS), plan_of(film, SHOTS, seconds=1.7)
    assert len(one.segments) == 1
    assert len(many.segments) >= 3
    assert everything(one) == everything(many)


def test_frames_and_sound_of_clips_in_shots(film: Path) -> None:
    plan = plan_of(film, SHOTS, seconds=3.0)
    assert wrong_frames(plan, source_frames(film)) == 0
    found = [steps.run_segment(plan, segment)[0] for segment in plan.segments]
    sound, _ = steps.run_audio(plan, found)
    assert [clip.clip_number for clip in sound.clips] == list(range(10))
    assert max(abs(clip.skew_ns) for clip in sound.clips) <= 31_250


def test_no_shot_is_long_enough(film: Path) -> None:
    plan = plan_of(film, dataclasses.replace(SHOTS, num_frames=40))
    with pytest.raises(TooShortError, match="none of 6 shots is as long as a clip"):
        decoded(plan)
    with pytest.raises(TooShortError, match="holds no clip of 150 frames"):
        plan_of(film, dataclasses.replace(SHOTS, num_frames=150))


def test_starts_in_shots() -> None:
    """Shots of 10, 3 and 17 steps; clips of 8."""
    assert starts_in_shots(SHOTS, (10, 13), 0, 30) == ((0, 13, 21), 1)
    overlapping = dataclasses.replace(SHOTS, overlap_frames=6)
    assert starts_in_shots(overlapping, (10, 13), 0, 30) == ((0, 2, 13, 15, 17, 19, 21), 1)
    # Only a part of the movie is wanted: it starts amid a shot.
    assert starts_in_shots(SHOTS, (10, 13), 14, 29) == ((14,), 0)
    assert starts_in_shots(SHOTS, (), 0, 7) == ((), 1)


def test_cuts_that_are_too_near_are_left_out() -> None:
    # At 5 fps a shot lasts 3 steps at least.
    assert apart([9, 2, 4, 16, 18, 19], SHOTS) == (2, 9, 16, 19)
