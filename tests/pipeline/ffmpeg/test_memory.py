"""Where ffmpeg lacks memory, nothing is concluded about the movie, whatever it says and returns."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.audio.soundtrack import Soundtrack
from pipeline.errors import KilledError, OutOfMemoryError, TooLargeError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.memory import MemoryReports, is_tight
from pipeline.limits import Limits
from pipeline.matching.frames import read_frames
from pipeline.movie.steps import prepare
from pipeline.plan.movie_plan import MoviePlan
from pipeline.probe.streams import first_look
from pipeline.probe.streams.stream_list import list_streams
from pipeline.sources import Readable
from pipeline.sources.corpus import find_movies
from pipeline.video import find_crop
from pipeline.video.segment import decode_segment
from pipeline.video.shapes import with_shapes
from shards_spec.recipe import Recipe
from tests.support.films.large import FRAME_GIB, make_large
from tests.support.films.media import Film, make_film
from tests.support.films.opened import opened_file, source_of
from tests.support.films.oracle import plan_of

RECIPE = Recipe(fps=1, num_frames=2, short_side=32)
NO_BUFFER = "[h264 @ 0x1f] [error] get_buffer() failed"
TOO_LITTLE = Limits(ffmpeg_memory_gib=0.9 * FRAME_GIB)
#: Not even an allocation of 10 kB.
NOTHING = Limits(ffmpeg_memory_gib=1e-5)


@pytest.mark.parametrize(
    ("lines", "lacked"),
    [
        ([NO_BUFFER], True),
        (["[h264 @ 0x1f] video_get_buffer: image parameters invalid", NO_BUFFER], False),
        (["[h264 @ 0x2e] video_get_buffer: image parameters invalid", NO_BUFFER], True),
        (["[h264 @ 0x1f] video_get_buffer: image parameters invalid", NO_BUFFER] * 2, False),
        (["[h264 @ 0x1f] image parameters invalid", NO_BUFFER, NO_BUFFER], True),
        (["[aac @ 0x1f] samples per frame 9, exceeds max_samples 8", NO_BUFFER], True),
        (["[dec:aac @ 0x1] Error submitting packet to decoder: Out of memory"], True),
        (["Error submitting packet to decoder: Cannot allocate memory"], True),
        (["[hevc @ 0x1] Error allocating frame, DPB full."], False),
        (["[ac3 @ 0x1] error in bit allocation"], False),
        (["[h264 @ 0x1] illegal memory management control operation 9"], False),
        (["[dca @ 0x1] Invalid bit allocation index"], False),
    ],
)
def test_messages_about_memory_differ_from_those_about_damage(
    lines: list[str], lacked: bool
) -> None:
    reports = MemoryReports()
    deque(map(reports.note, lines), maxlen=0)
    assert reports.lacked == lacked


def shell(words: str, *, decodes: bool = True) -> FfmpegProcess:
    """A shell in place of ffmpeg; it does not accept ffmpeg's memory option."""
    source = Readable("file:a.mkv", "", Limits(ffmpeg_memory_gib=0.0))
    return FfmpegProcess(["sh", "-c", words], source, what="a.mkv", decodes=decodes)


def program(path: Path, words: str) -> str:
    """A program that accepts any option."""
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o700)
    return str(path)


def finish(run: FfmpegProcess) -> None:
    with run:
        run.finish(tolerate_errors=True)


def stop(run: FfmpegProcess) -> None:
    with run:
        run.read_exactly(4)


@pytest.mark.parametrize("end", [finish, stop])
@pytest.mark.parametrize("status", [0, 69])
def test_no_output_of_a_decoder_without_memory_is_used(
    end: Callable[[FfmpegProcess], None], status: int
) -> None:
    """Whatever the exit status, and also if it is stopped once it gave what was wanted."""
    with pytest.raises(OutOfMemoryError, match="--ffmpeg-memory-gib"):
        end(shell(f"echo '{NO_BUFFER}' >&2; echo 123; sleep 0.1; exit {status}"))


def test_another_error_is_not_replaced() -> None:
    with (
        pytest.raises(TooLargeError, match="more than 0 MiB"),
        shell(f"echo '{NO_BUFFER}' >&2; echo 123") as run,
    ):
        run.read_all(1)


def test_a_program_that_only_lists_may_lack_memory_to_decode() -> None:
    finish(shell(f"echo '{NO_BUFFER}' >&2", decodes=False))
    with pytest.raises(OutOfMemoryError):
        finish(shell(f"echo '{NO_BUFFER}' >&2; exit 1", decodes=False))


def test_little_memory_puts_errors_in_doubt() -> None:
    """The more was used, and the lower the limit; not without a limit."""
    gib = 1 << 20
    assert is_tight(Limits(ffmpeg_memory_gib=0.06), 0)
    assert is_tight(Limits(ffmpeg_memory_gib=4), round(3.6 * gib))
    assert not is_tight(Limits(ffmpeg_memory_gib=4), 3 * gib)
    assert not is_tight(Limits(ffmpeg_memory_gib=0), 9 * gib)


@pytest.mark.parametrize(
    ("words", "decodes"),
    [
        ("echo '[h264 @ 0x1f] [error] no frame!' >&2", True),
        ("echo '[h264 @ 0x1f] [error] no frame!' >&2; exit 1", True),
        ("exit 1", True),
        ("exit 1", False),
    ],
)
def test_errors_under_a_low_limit_may_be_lack_of_memory(
    words: str, decodes: bool, tmp_path: Path
) -> None:
    """H.264 says the same of damage, and nothing is said of a decoder that cannot be opened."""
    command = [program(tmp_path / "ffmpeg", words)]
    source = Readable("file:a.mkv", "", Limits(ffmpeg_memory_gib=4))
    finish(FfmpegProcess(command, source, what="a.mkv", decodes=decodes))
    source.limits = Limits(ffmpeg_memory_gib=0.3)
    with pytest.raises(OutOfMemoryError):
        finish(FfmpegProcess(command, source, what="a.mkv", decodes=decodes))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> MoviePlan:
    """The plan of a movie whose frames are larger than `TOO_LITTLE`."""
    return plan_of(make_large(tmp_path_factory.mktemp("large") / "a.mov"), RECIPE)


def limited(plan: MoviePlan, limits: Limits = TOO_LITTLE) -> Readable:
    source = source_of(plan)
    source.limits = limits
    return source


STEPS: dict[str, Callable[[MoviePlan, Readable], object]] = {
    "sampled frames": lambda plan, source: prepare(plan.movie, source, RECIPE, 60.0),
    "black bars": lambda plan, source: find_crop(plan.probe, source, "a"),
    "shapes": lambda plan, source: with_shapes(
        replace(plan.probe, has_one_shape=False), source, "a"
    ),
    "segment": lambda plan, source: decode_segment(plan, plan.segments[0], source),
    "matching": lambda plan, source: read_frames(
        source, plan.probe, replace(RECIPE, crop_bars=False), "a"
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_no_step_accepts_frames_that_lacked_memory(step: str, large: MoviePlan) -> None:
    with pytest.raises(OutOfMemoryError, match="--ffmpeg-memory-gib"):
        STEPS[step](large, limited(large))


def test_audio_that_lacked_memory_is_not_silence(large: MoviePlan) -> None:
    with (
        pytest.raises((OutOfMemoryError, KilledError)),
        Soundtrack(limited(large, NOTHING), large.probe, 10**9, what="a") as track,
    ):
        deque(track.chunks(16_000), maxlen=0)


def test_only_a_limit_for_any_movie_says_that_its_tables_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower one of the user is doubled."""
    source = opened_file(make_film(tmp_path / "a.mkv", Film(seconds=1)))
    (movie,) = find_movies(str(tmp_path))
    source.limits = NOTHING
    with pytest.raises((OutOfMemoryError, KilledError)):
        list_streams(movie, source)
    source.limits = Limits(ffmpeg_memory_gib=4)
    monkeypatch.setattr(first_look, "LISTING_GIB", NOTHING.ffmpeg_memory_gib)
    with pytest.raises((TooLargeError, KilledError)):
        list_streams(movie, source)


def test_a_stream_is_not_unknown_for_want_of_memory(
    tmp_path: Path, large: MoviePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ffprobe decodes a frame for what the container omits, such as the pixel format."""
    stream = {"index": 0, "codec_type": "video", "width": 64, "height": 64}
    text = json.dumps({"streams": [stream]})
    path = program(tmp_path / "ffprobe", f"echo '{NO_BUFFER}' >&2; echo '{text}'")
    monkeypatch.setattr(first_look, "ffprobe_path", lambda: path)
    with pytest.raises(OutOfMemoryError, match="described"):
        list_streams(large.movie, limited(large, Limits(ffmpeg_memory_gib=1)))
