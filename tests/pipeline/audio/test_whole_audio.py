"""Audio that a plain downmix, or a single bad sample, would lose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.sample_buffer import SampleBuffer
from pipeline.audio.timeline import Piece
from shards_spec.recipe import NANOSECONDS
from tests.support.films.beeps import (
    FILM,
    H264,
    LIMIT_SECONDS,
    MPEG2,
    RATE_HZ,
    beeping,
    find_beeps,
    flash_times,
    picture,
    plan_of,
    stored_beeps,
    stored_sound,
    write_wav,
)
from tests.support.films.media import ffmpeg
from tests.support.samples import mostly_slow


def check_beeps(path: Path, limit_seconds: float = LIMIT_SECONDS) -> str:
    """Every beep is at its flash, however loud; returns the choice of the track."""
    plan = plan_of(path)
    _, timeline = stored_sound(plan)
    beeps = find_beeps(0.6 * timeline / np.abs(timeline).max(), plan.recipe.sample_rate_hz)
    assert len(beeps) == 11
    assert np.abs(np.array(beeps) - flash_times()[:11]).max() < limit_seconds
    return plan.probe.audio.choice


ANTIPHASE = {
    "flac.mkv": ("pan=stereo|c0=c0|c1=-1*c0", ("-c:a", "flac")),
    "pcm.mov": ("pan=stereo|c0=0.8*c0|c1=-0.7*c0", ("-c:a", "pcm_s16le")),
    "alac.mp4": ("pan=stereo|c0=-0.9*c0|c1=c0", ("-c:a", "alac")),
    "ac3.mkv": ("pan=stereo|c0=c0|c1=-1*c0", ("-c:a", "ac3")),
}


@pytest.mark.parametrize("name", mostly_slow(ANTIPHASE, ("flac.mkv", "alac.mp4")))
def test_channels_that_cancel_each_other_are_not_added(
    name: str, folder: Path, sound: Path
) -> None:
    graph, coder = ANTIPHASE[name]
    path = folder / f"antiphase-{name}"
    maps = ("-map", "0", "-map", "1", "-c:v", "copy")
    ffmpeg("-i", picture(folder), "-i", sound, *maps, "-af", graph, *coder, path)
    choice = check_beeps(path)
    channel = "right" if name == "alac.mp4" else "left"
    assert choice == f"only track; {channel} channel alone, as the two cancel each other out"


@pytest.mark.parametrize("graph", ["c0=c0|c1=c0", "c0=c0|c1=0*c0", "c0=c0|c1=-0.3*c0"])
def test_other_stereo_is_downmixed_as_usual(graph: str, folder: Path, sound: Path) -> None:
    path = folder / "stereo.mkv"
    maps = ("-map", "0", "-map", "1", "-c:v", "copy", "-af", f"pan=stereo|{graph}")
    ffmpeg("-i", picture(folder), "-i", sound, *maps, "-c:a", "flac", path)
    plan = plan_of(path)
    assert (plan.probe.audio.downmix, plan.probe.audio.choice) == ("all", "only track")


def mono_tracks(
    folder: Path, sound: Path, path: Path, count: int, loud: int, *options: str
) -> Path:
    """`count` mono tracks of noise; track `loud` has the beeps instead."""
    noise = np.random.default_rng(0).normal(0, 0.001, round(FILM.seconds * RATE_HZ))
    quiet = write_wav(folder / "noise.wav", noise)
    inputs = [word for k in range(count) for word in ("-i", sound if k == loud else quiet)]
    maps = [word for k in range(count + 1) for word in ("-map", str(k))]
    coder = MPEG2 if path.suffix == ".mxf" else H264
    ffmpeg("-i", picture(folder, *coder), *inputs, *maps, "-c:v", "copy", *options, path)
    return path


MONO = {
    "two.mov": (2, 1, ("-c:a", "pcm_s16le"), " as stereo"),
    "six.mov": (6, 2, ("-c:a", "pcm_s24le"), " as 5.1"),
    "four.mxf": (4, 3, ("-c:a", "pcm_s16le"), ""),
    "eight.mkv": (8, 7, ("-c:a", "flac"), " as 7.1"),
    "aac.mp4": (2, 0, ("-c:a", "aac"), " as stereo"),
}


@pytest.mark.parametrize("name", mostly_slow(MONO, ("six.mov", "four.mxf")))
def test_mono_tracks_of_one_recording_are_joined(name: str, folder: Path, sound: Path) -> None:
    count, loud, coder, layout = MONO[name]
    path = mono_tracks(folder, sound, folder / f"mono-{name}", count, loud, *coder)
    streams = ", ".join(str(1 + number) for number in range(count))
    assert check_beeps(path).endswith(f"; {count} mono tracks joined{layout}: streams {streams}")
    plan = plan_of(path)
    assert plan.probe.audio.channels == count
    assert plan.probe.other_audio == ()


def titled(*titles: str) -> list[str]:
    return [
        word for k, title in enumerate(titles) for word in (f"-metadata:s:a:{k}", f"title={title}")
    ]


def test_titles_determine_the_order_of_channels(folder: Path, sound: Path) -> None:
    """The second track is the low-frequency channel, which the downmix leaves out."""
    names = titled("Center", "LFE", "Ls", "Rs", "Left", "Right")
    options = ("-c:a", "flac", *names)
    path = mono_tracks(folder, sound, folder / "titled.mkv", 6, 0, *options)
    assert check_beeps(path).endswith("joined as 5.1: streams 5, 6, 1, 2, 3, 4")
    silent = mono_tracks(folder, sound, folder / "low.mkv", 6, 1, *options)
    assert stored_beeps(plan_of(silent))[1] == []


@pytest.mark.parametrize(
    "options",
    [
        ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger"),
        titled("Original", "Director's commentary"),
        titled("Boom", "Full mix"),
        ("-ar:a:1", "44100"),
    ],
)
def test_other_mono_tracks_are_not_joined(
    options: tuple[str, ...], folder: Path, sound: Path
) -> None:
    path = mono_tracks(folder, sound, folder / "apart.mkv", 2, 0, "-c:a", "flac", *options)
    audio = plan_of(path).probe.audio
    assert (audio.index, audio.joined) == (1, ())


INVALID = {
    "nan.mkv": (np.nan, "pcm_f32le"),
    "inf.mov": (np.inf, "pcm_f32le"),
    "minus.nut": (-np.inf, "pcm_f64le"),
    "huge.mkv": (1e30, "pcm_f32le"),
}


@pytest.mark.parametrize("name", mostly_slow(INVALID, ("nan.mkv", "huge.mkv")))
def test_invalid_samples_are_silence(name: str, folder: Path) -> None:
    """One sample, and a whole second between two beeps."""
    value, codec = INVALID[name]
    samples = beeping(FILM.seconds, flash_times()).astype("<f8")
    samples[100_000] = value
    first, end = round(5.6 * RATE_HZ), round(6.4 * RATE_HZ)
    samples[first:end] = value
    raw = folder / "samples.raw"
    samples.tofile(raw)
    path = folder / f"invalid-{name}"
    read = ("-f", "f64le", "-ar", str(RATE_HZ), "-ac", "1", "-i", raw)
    ffmpeg(
        "-i", picture(folder), *read, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", codec, path
    )
    check_beeps(path)
    audio, timeline = stored_sound(plan_of(path))
    assert np.abs(timeline).max() < 1.0
    assert np.abs(timeline[round(5.61 * 16_000) : round(6.39 * 16_000)]).max() < 1e-3
    gaps = [gap for gap in audio.report.fills_ns if gap[1] - gap[0] > NANOSECONDS // 10]
    assert gaps == [pytest.approx((5.6 * NANOSECONDS, 6.4 * NANOSECONDS), abs=2e5)]
    assert sum(clip.filled_ns for clip in audio.clips) >= 0.75 * NANOSECONDS


def test_invalid_ranges_are_split_by_pieces() -> None:
    buffer = SampleBuffer()
    buffer.append(np.array([0.0, np.nan, np.nan], np.float32))
    buffer.append(np.array([np.inf, 0.5, 65.0], np.float32))
    first, second = Piece(0, 3, 100, 3), Piece(3, 3, 200, 6)
    assert buffer.read(first).tolist() == [0.0, 0.0, 0.0]
    assert list(buffer.invalid_in(first)) == [(101, 103)]
    assert list(buffer.invalid_in(second)) == [(200, 202), (204, 206)]
