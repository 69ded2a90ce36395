"""Wrong, missing and odd timestamps of video: what is rejected, and what is trusted."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.probe import probe
from pipeline.probe.streams.packets import PacketTable
from pipeline.probe.streams.video_timing import find_outliers, lost_to_jumps_ns, time_frames
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import NANOSECONDS
from tests.support.films.beeps import FILM, beeping, flash_times, write_wav
from tests.support.films.media import Film, ffmpeg, make_film, read_number, shown_at
from tests.support.films.opened import opened
from tests.support.films.oracle import RECIPE, clips_of, everything, plan_of
from tests.support.films.timestamps import shift_ts_times
from tests.support.samples import mostly_slow

TICK = Fraction(1, 90_000)
FRAME = 3_600
#: Presentation order of a group of I B B P B B P..., in decoding order.
REORDERED = np.array([0, 3, 1, 2, 6, 4, 5, 9, 7, 8])


def table(
    pts: np.ndarray, dts: np.ndarray | None = None, has_dts: np.ndarray | None = None
) -> PacketTable:
    count = len(pts)
    dts = pts if dts is None else dts
    return PacketTable(
        pts=np.asarray(pts, np.int64),
        dts=np.asarray(dts, np.int64),
        duration=np.zeros(count, np.int64),
        is_key=np.arange(count) % 50 == 0,
        has_pts=np.ones(count, bool),
        has_dts=np.ones(count, bool) if has_dts is None else has_dts,
        is_corrupt=np.zeros(count, bool),
        position=np.full(count, -1),
        size=np.zeros(count, np.int64),
    )


def with_b_frames(count: int, step: int = FRAME) -> tuple[np.ndarray, np.ndarray]:
    """(pts, dts) of `count` packets in decoding order."""
    order = np.concatenate([REORDERED + 10 * group for group in range(count // 10)])
    return order * step, (np.arange(len(order)) - 2) * step


@given(
    steps=st.lists(st.integers(1, 100 * 90_000), min_size=1, max_size=80),
    reorder=st.booleans(),
)
def test_ascending_times_are_trusted_at_any_distance(steps: list[int], reorder: bool) -> None:
    """Slides, pauses of a recording, screen captures."""
    times = np.cumsum(steps)
    pts = times.copy()
    if reorder:
        for first in range(0, len(pts) - 2, 3):
            pts[first : first + 3] = pts[[first + 2, first, first + 1]]
    wrong, outliers = find_outliers(table(pts, times - int(times[0])), TICK)
    assert not wrong.any()
    assert outliers == ()


# At the very end, as many wrong times as right ones after them could be either.
@given(
    at=st.integers(10, 190),
    seconds=st.sampled_from([-30.0, -3.0, 3.0, 30.0, 1000.0]),
    num=st.integers(1, 4),
    with_dts=st.booleans(),
)
def test_a_few_wrong_times_are_found(at: int, seconds: float, num: int, with_dts: bool) -> None:
    pts, dts = with_b_frames(200)
    end = at + num
    truth = pts.copy()
    pts[at:end] += round(seconds * 90_000)
    if with_dts:
        dts[at:end] += round(seconds * 90_000)
    wrong, outliers = find_outliers(table(pts, dts), TICK)
    assert np.flatnonzero(wrong).tolist() == list(range(at, end))
    assert [found.pts for found in outliers] == pts[at:end].tolist()
    expected = np.array([found.expected_pts for found in outliers])
    assert np.abs(expected - truth[at:end]).max() <= 10 * FRAME


def test_a_wrong_first_time_is_found() -> None:
    pts, dts = with_b_frames(100)
    pts[0] += 500 * 90_000
    dts[0] += 500 * 90_000
    wrong, _ = find_outliers(table(pts, dts), TICK)
    assert np.flatnonzero(wrong).tolist() == [0]


def test_a_second_recording_is_not_an_outlier() -> None:
    """The clock jumps back and stays there: its video is counted as lost."""
    pts, dts = with_b_frames(300)
    pts, dts = np.concatenate([pts, pts[:200]]), np.concatenate([dts, dts[:200]])
    packets = table(pts, dts)
    assert not find_outliers(packets, TICK)[0].any()
    assert lost_to_jumps_ns(packets, TICK) == pytest.approx(8 * NANOSECONDS, abs=NANOSECONDS)


def test_unordered_times_are_not_changed() -> None:
    pts = np.random.default_rng(0).permutation(400) * FRAME
    assert not find_outliers(table(pts), TICK)[0].any()


@pytest.mark.parametrize("num_unknown", [1, 2, 6])
@pytest.mark.parametrize("step", [FRAME, 5 * 90_000])
def test_unknown_decoding_times_do_not_matter(num_unknown: int, step: int) -> None:
    """Presentation times are used instead; they are not monotonic."""
    pts, dts = with_b_frames(30, step)
    has_dts = np.arange(30) >= num_unknown
    packets = table(pts, np.where(has_dts, dts, pts), has_dts)
    assert lost_to_jumps_ns(packets, TICK) == 0
    assert not find_outliers(packets, TICK)[0].any()


@pytest.mark.parametrize(
    ("times", "end_seconds", "seconds"),
    [
        ([0, 540_000], 6.1, 7.0),
        ([0, 540_000], 8.5, 8.5),
        ([0, 540_000], 0.0, 12.0),
        ([0, 540_000], 60.0, 12.0),
        ([0, 3_600, 7_200], 6.1, 0.12),
    ],
)
def test_the_last_frame_ends_with_the_file(
    times: list[int], end_seconds: float, seconds: float
) -> None:
    """It lasts as long as other frames, but at most a second beyond the end of the file."""
    packets = table(np.array(times))
    timing = time_frames(packets, 0, TICK, end_seconds)
    assert timing.end_pts * TICK == pytest.approx(seconds)
    # ffmpeg guesses a duration from the frame rate where there is none.
    guessed = np.full(len(times), times[-1] - times[-2], np.int64)
    timing = time_frames(dataclasses.replace(packets, duration=guessed), 0, TICK, end_seconds)
    assert timing.end_pts * TICK == pytest.approx(seconds)


@pytest.mark.parametrize("suffix", mostly_slow([".mkv", ".mp4", ".ts", ".nut"], (".mkv", ".ts")))
def test_a_movie_of_two_frames(suffix: str, folder: Path) -> None:
    """The second comes on screen after 6 s; the file ends 0.1 s later."""
    path = folder / f"two{suffix}"
    video = ("-f", "lavfi", "-i", "testsrc2=s=192x112:r=25:d=6.04")
    graph = ("-vf", "select='eq(n,0)+eq(n,150)'", "-fps_mode", "vfr", "-c:v", "mpeg4")
    ffmpeg(*video, "-f", "lavfi", "-i", "sine=d=6.1", *graph, "-c:a", "mp2", path)
    (movie,) = find_movies(str(path))
    found = probe(movie, opened(movie), "")
    assert 6.0 < found.duration_ns / NANOSECONDS < 7.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("timing")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """300 numbered frames with B-frames in long GOPs."""
    coder = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-pix_fmt", "yuv420p")
    video = make_film(folder / "video.mkv", Film(audio=(), gop=150, video=coder))
    sound = write_wav(folder / "sound.wav", beeping(FILM.seconds, flash_times()))
    path = folder / "whole.mkv"
    ffmpeg("-i", video, "-i", sound, "-c:v", "copy", "-c:a", "aac", path)
    return path


GLITCHES = {
    "far.mkv": "if(eq(N,120),PTS+1000/TB,PTS)",
    "near.mkv": "if(eq(N,121),PTS+2/TB,PTS)",
    "three.nut": "if(between(N,100,102),PTS+40/TB,PTS)",
    "later.flv": "if(eq(N,200),PTS+6/TB,PTS)",
}
#: Seconds by which the times of packet 120 of a transport stream are wrong: pts, dts.
TS_GLITCHES = {"both.ts": (10.0, 10.0), "back.ts": (-3.0, -3.0), "pts.ts": (1000.0, 0.0)}


@pytest.mark.parametrize(
    "name", mostly_slow([*GLITCHES, *TS_GLITCHES], ("near.mkv", "three.nut", "back.ts"))
)
def test_a_wrong_time_only_affects_one_frame(name: str, whole: Path, folder: Path) -> None:
    path = folder / name
    if name in TS_GLITCHES:
        ffmpeg("-i", whole, "-c", "copy", path)
        shift_ts_times(path, 120, *TS_GLITCHES[name])
    else:
        ffmpeg("-i", whole, "-c", "copy", "-bsf:v", f"setts=pts='{GLITCHES[name]}'", path)
    plans = [plan_of(path, seconds=seconds) for seconds in (1000.0, 3.0)]
    probe = plans[0].probe
    assert probe.duration_ns == pytest.approx(12 * NANOSECONDS, abs=1e8)
    assert len(probe.outliers) == (3 if "three" in name else 1)
    assert probe.lost_ns == probe.still_ns == 0
    one, *others = [everything(plan) for plan in plans]
    assert all(other == one for other in others)
    times = [number / 25 for number in range(300)]
    clips = clips_of(plans[0])
    assert len(clips) == 7
    wrong = [
        (number, i)
        for number, (_, frames) in clips.items()
        for i, frame in enumerate(frames)
        if read_number(frame) != shown_at(times, (number * 8 + i) / RECIPE.fps)
    ]
    assert len(wrong) <= 1
