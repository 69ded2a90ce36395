"""Beeps stay with their flashes despite gaps, overlaps, noisy and missing timestamps."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import NoAudioStreamError
from shards_spec.recipe import NANOSECONDS
from tests.support.films.beeps import (
    FILM,
    LIMIT_SECONDS,
    MPEG2,
    VP8,
    Seen,
    beeping,
    check,
    find_beeps,
    flash_times,
    mux,
    picture,
    plan_of,
    retime,
    stored_beeps,
    stored_sound,
    strip_times,
    write_wav,
)
from tests.support.films.media import ffmpeg
from tests.support.films.oracle import decoded_audio
from tests.support.samples import mostly_slow

GAPS = [".mp4 aac", ".ts ac3", ".mkv pcm_s16le", ".mkv libopus", ".flv aac"]


@pytest.mark.parametrize("case", mostly_slow(GAPS, GAPS[:2]))
def test_a_gap_is_filled_where_it_is(case: str, folder: Path, sound: Path) -> None:
    """300 ms of packets are missing between two beeps."""
    suffix, audio = case.split()
    whole = mux(folder / f"whole-{audio}{suffix}", picture(folder), sound, "-c:a", audio)
    path = folder / f"gap-{audio}{suffix}"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", "noise=drop='between(pts*tb,4,4.3)'", path)
    found, count = check(path)
    assert count == 11
    gaps = [gap for gap in found.report.fills_ns if gap[1] - gap[0] > 0.1 * NANOSECONDS]
    assert len(gaps) == 1
    start, end = gaps[0]
    assert end - start == pytest.approx(0.3 * NANOSECONDS, abs=0.045 * NANOSECONDS)
    assert start == pytest.approx(4.0 * NANOSECONDS, abs=0.03 * NANOSECONDS)
    assert found.clips[2].filled_ns == end - start
    assert found.clips[1].filled_ns == found.clips[4].filled_ns == 0


def _flv(folder: Path, name: str, times: list[float], new_time: Callable[[int], int]) -> Path:
    samples = beeping(FILM.seconds, times, 44_100)
    wav = write_wav(folder / f"{name}.wav", samples, 44_100)
    path = folder / f"{name}.flv"
    return retime(mux(path, picture(folder), wav, "-c:a", "pcm_s16le"), new_time)


def test_an_overlap_is_cut(folder: Path) -> None:
    """From 6.2 s on the timestamps are 300 ms early: the audio that came first is kept."""
    times = [time + 0.3 * (time > 6.2) for time in flash_times()]
    path = _flv(folder, "overlap", times, lambda ms: ms if ms < 6_200 else ms - 300)
    found, count = check(path)
    assert count == 11
    assert found.report.cut_ns == pytest.approx(0.3 * NANOSECONDS, abs=1e6)
    assert found.report.drift_ppm == 0


@pytest.mark.parametrize("reach_ms", mostly_slow([1, 3], (3,)))
def test_noisy_timestamps_move_nothing(reach_ms: int, folder: Path) -> None:
    rng = random.Random(7)
    path = _flv(folder, "noise", flash_times(), lambda ms: ms + rng.randint(-reach_ms, reach_ms))
    found, count = check(path)
    assert count == 11
    assert found.report.drift_ppm == found.report.cut_ns == 0
    # No sample is inserted except before the first.
    assert all(start == 0 for start, _ in found.report.fills_ns)


def test_a_few_wrong_timestamps_move_nothing(folder: Path) -> None:
    path = _flv(folder, "glitch", flash_times(), lambda ms: ms + 500 * (6_000 < ms < 6_100))
    found, count = check(path)
    assert count == 11
    assert found.report.filled_ns < 1e6
    assert found.report.cut_ns == 0


@pytest.mark.parametrize("audio", mostly_slow(["aac", "flac"], ("aac",)))
def test_broken_packets_are_silence(audio: str, folder: Path, sound: Path) -> None:
    whole = mux(folder / f"sane-{audio}.mkv", picture(folder), sound, "-c:a", audio)
    path = folder / f"broken-{audio}.mkv"
    damage = "noise=amount='if(between(pts*tb,4,4.3),1,0)'"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", damage, path)
    _, samples = stored_sound(plan_of(path))
    flashes = [time for time in flash_times() if not 3.4 < time < 4.9]
    beeps = [time for time in find_beeps(samples, 16_000) if not 3.4 < time < 4.9]
    assert len(beeps) == len(flashes) - 1
    skews = np.array(beeps) - np.array(flashes[: len(beeps)])
    assert np.abs(skews).max() < LIMIT_SECONDS


def test_audio_that_ends_early_or_late(folder: Path) -> None:
    times = flash_times()
    short = write_wav(folder / "short.wav", beeping(5.0, times[:5]))
    found, count = check(mux(folder / "short.mkv", picture(folder), short, "-c:a", "flac"))
    assert count == 5
    assert found.report.fills_ns == ((5 * NANOSECONDS, found.report.fills_ns[-1][1]),)
    assert found.clips[-1].filled_ns == NANOSECONDS * 8 // 5
    long = write_wav(folder / "long.wav", beeping(20.0, times))
    found, count = check(mux(folder / "long.mkv", picture(folder), long, "-c:a", "flac"))
    assert count == 11
    assert found.report.filled_ns == 0


def test_a_track_without_samples(folder: Path, sound: Path) -> None:
    path = folder / "empty.mp4"
    mux(path, picture(folder), sound, "-af", "atrim=end=0", "-c:a", "aac")
    with pytest.raises(NoAudioStreamError):
        plan_of(path)


def test_a_broadcast_that_starts_hours_in_and_a_stream_of_unknown_length(
    folder: Path, sound: Path
) -> None:
    """TS timestamps wrap after 26.5 hours: this one wraps in the middle."""
    wraps = (2**33 / 90_000 - 6.0, "-c:a", "aac", "-muxdelay", "0")
    path = folder / "wraps.ts"
    mux(path, picture(folder), sound, "-output_ts_offset", *map(str, wraps))
    seen = Seen(0.0, flash_times())
    _, count = check(path, seen)
    assert count == 11
    live = folder / "live.webm"
    mux(live, picture(folder, *VP8), sound, "-c:a", "libopus", "-live", "1")
    _, count = check(live)
    assert count == 11


UNTIMED = {"mp2-ts": (".ts", "mp2"), "aac-ts": (".ts", "aac"), "ac3-vob": (".vob", "ac3")}


@pytest.mark.parametrize("case", mostly_slow(UNTIMED, list(UNTIMED)[:1]))
@pytest.mark.parametrize("every", mostly_slow([10, 1_000_000], (10,)))
def test_packets_without_times(case: str, every: int, folder: Path, sound: Path) -> None:
    """Only every tenth packet has a timestamp, or only the first."""
    suffix, audio = UNTIMED[case]
    path = mux(folder / f"untimed-{case}{suffix}", picture(folder, *MPEG2), sound, "-c:a", audio)
    strip_times(path, lambda number: number % every == 0)
    found, count = check(path)
    assert count == 11
    assert plan_of(path).probe.audio.has_times
    assert found.report.filled_ns == found.report.cut_ns == 0


@pytest.mark.parametrize("case", mostly_slow(UNTIMED, list(UNTIMED)[:1]))
def test_a_track_without_any_times_starts_with_the_video(
    case: str, folder: Path, sound: Path
) -> None:
    """Nothing better is known; the index says so. (ffmpeg would start at 0, seconds too early.)"""
    suffix, audio = UNTIMED[case]
    path = mux(folder / f"no-times-{case}{suffix}", picture(folder, *MPEG2), sound, "-c:a", audio)
    strip_times(path, lambda number: False)
    plan = plan_of(path)
    assert not plan.probe.audio.has_times
    assert plan.probe.audio.choice.endswith("without timestamps, so it starts with the video")
    found, beeps = stored_beeps(plan)
    assert found.report.start_ns == 0
    # Only the encoder's own delay remains.
    assert np.abs(np.array(beeps) - flash_times()[: len(beeps)]).max() < 0.03
    assert len(beeps) == 11


def test_segments_do_not_change_the_audio(folder: Path, sound: Path) -> None:
    path = mux(folder / "whole.mp4", picture(folder), sound, "-c:a", "aac")
    one, many = plan_of(path), plan_of(path, seconds=2.0)
    assert len(many.segments) > len(one.segments)
    (first, first_bytes), (second, second_bytes) = decoded_audio(one), decoded_audio(many)
    assert first.clips == second.clips
    assert first_bytes.tobytes() == second_bytes.tobytes()
