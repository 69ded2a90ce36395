"""Every beep is stored where its flash is, through every codec, container and kind of damage.

The films carry numbered frames; PyAV tells when the flash frames are on screen. The beeps are
chirps, timed by cross-correlation in the FLAC that the clips hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from beeps import (
    FILM,
    Seen,
    beeping,
    find_beeps,
    flash_times,
    look,
    mux,
    picture,
    plan_of,
    retime,
    stored_beeps,
    stored_sound,
    strip_times,
    write_wav,
)
from media import Film, ffmpeg

from pipeline import movie as steps
from pipeline.audio import MovieAudio
from pipeline.errors import NoAudioStreamError
from pipeline.stretch import MARGIN, stretch
from shards_spec.recipe import NANOSECONDS

LIMIT_SECONDS = 1e-3
MPEG4 = ("-c:v", "mpeg4", "-q:v", "3")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8")
H264: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def sound(folder: Path) -> Path:
    return write_wav(folder / "beeps.wav", beeping(FILM.seconds, flash_times()))


def check(path: Path, seen: Seen | None = None, own_skew: float = 0.0) -> tuple[MovieAudio, int]:
    """Every beep of a film that has a flash stands by it; returns the sound and their number."""
    seen = seen or look(path)
    plan = plan_of(path)
    audio, beeps = stored_beeps(plan)
    flashes = np.array(seen.flashes) - seen.first_frame
    skews = [float((beep - flashes)[np.abs(beep - flashes).argmin()]) for beep in beeps]
    assert len(beeps) <= len(flashes)
    assert max(abs(skew - own_skew) for skew in skews) < LIMIT_SECONDS, skews
    return audio, len(beeps)


def expected_beeps(path: Path) -> int:
    """Flashes before the end of the last clip."""
    plan = plan_of(path)
    end = plan.clip_end_ns(plan.end_clip - 1) / NANOSECONDS
    return sum(time + 0.04 < end for time in flash_times())


CODECS = {
    "aac-mp4": (".mp4", H264, ("-c:a", "aac")),
    "aac-44100-mov": (".mov", H264, ("-c:a", "aac", "-ar", "44100")),
    "aac-ts": (".ts", H264, ("-c:a", "aac")),
    "ac3-mkv": (".mkv", H264, ("-c:a", "ac3")),
    "eac3-mp4": (".mp4", H264, ("-c:a", "eac3")),
    "truehd-mkv": (".mkv", H264, ("-c:a", "truehd", "-strict", "-2", "-ac", "2")),
    "mp3-mp4": (".mp4", H264, ("-c:a", "libmp3lame")),
    "opus-webm": (".webm", VP8, ("-c:a", "libopus")),
    "vorbis-webm": (".webm", VP8, ("-c:a", "vorbis", "-strict", "-2", "-ac", "2")),
    "flac-mkv": (".mkv", H264, ("-c:a", "flac")),
    "alac-mov": (".mov", H264, ("-c:a", "alac")),
    "pcm-mov": (".mov", H264, ("-c:a", "pcm_s16le")),
    "pcm-mkv": (".mkv", H264, ("-c:a", "pcm_s24le")),
    "pcm-avi": (".avi", MPEG4, ("-c:a", "pcm_s16le")),
    "mp2-ts": (".ts", MPEG2, ("-c:a", "mp2")),
}
MORE_CODECS = {
    "aac-mkv": (".mkv", H264, ("-c:a", "aac")),
    "aac-flv": (".flv", H264, ("-c:a", "aac")),
    "ac3-ts": (".ts", H264, ("-c:a", "ac3")),
    "ac3-mp4": (".mp4", H264, ("-c:a", "ac3")),
    "eac3-ts": (".ts", H264, ("-c:a", "eac3")),
    "eac3-mkv": (".mkv", H264, ("-c:a", "eac3")),
    "mp3-mkv": (".mkv", H264, ("-c:a", "libmp3lame")),
    "mp3-flv": (".flv", H264, ("-c:a", "libmp3lame", "-ar", "44100")),
    "opus-mkv": (".mkv", H264, ("-c:a", "libopus")),
    "opus-mp4": (".mp4", H264, ("-c:a", "libopus")),
    "flac-mp4": (".mp4", H264, ("-c:a", "flac", "-strict", "-2")),
    "pcm-22050-mkv": (".mkv", H264, ("-c:a", "pcm_s16le", "-ar", "22050")),
    "mp2-mpg": (".mpg", MPEG2, ("-c:a", "mp2")),
    "adpcm-avi": (".avi", MPEG4, ("-c:a", "adpcm_ms")),
}


@pytest.mark.parametrize(
    "case", [*CODECS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_CODECS)]
)
def test_every_codec_in_its_container(case: str, folder: Path, sound: Path) -> None:
    suffix, video, audio = (CODECS | MORE_CODECS)[case]
    path = mux(folder / f"{case}{suffix}", picture(folder, *video), sound, *audio)
    found, count = check(path)
    assert count == expected_beeps(path) == 11
    assert found.report.drift_ppm == found.report.cut_ns == 0
    assert found.report.filled_ns < 0.012 * NANOSECONDS


@pytest.mark.parametrize(
    ("case", "suffix", "video", "audio"),
    [
        ("dts-mkv", ".mkv", H264, ("-c:a", "dca", "-strict", "-2", "-ac", "2")),
        ("dts-ts", ".ts", H264, ("-c:a", "dca", "-strict", "-2", "-ac", "2")),
        ("ac3-avi", ".avi", MPEG4, ("-c:a", "ac3")),
        pytest.param("mp3-avi", ".avi", MPEG4, ("-c:a", "libmp3lame"), marks=pytest.mark.slow),
        pytest.param("mp2-avi", ".avi", MPEG4, ("-c:a", "mp2"), marks=pytest.mark.slow),
    ],
)
def test_a_delay_that_the_file_hides_is_read_as_others_read_it(
    case: str,
    suffix: str,
    video: tuple[str, ...],
    audio: tuple[str, ...],
    folder: Path,
    sound: Path,
) -> None:
    """ffmpeg's DTS coder names no delay, and AVI has no place for one: the file itself is late."""
    path = mux(folder / f"{case}{suffix}", picture(folder, *video), sound, *audio)
    seen = look(path)
    _, count = check(path, seen, own_skew=float(np.median(seen.skews)))
    assert count == 11


LATE = {
    "aac-mp4": (".mp4", H264, ("-c:a", "aac")),
    "aac-ts": (".ts", H264, ("-c:a", "aac")),
    "pcm-mkv": (".mkv", H264, ("-c:a", "pcm_s16le")),
    "flac-mp4": (".mp4", H264, ("-c:a", "flac", "-strict", "-2")),
    "opus-mp4": (".mp4", H264, ("-c:a", "libopus")),
}


@pytest.mark.parametrize("case", LATE)
def test_a_late_start_is_filled(case: str, folder: Path, sound: Path) -> None:
    suffix, video, audio = LATE[case]
    late = ("-af", "atrim=start=0.7", *audio)
    path = mux(folder / f"late-{case}{suffix}", picture(folder, *video), sound, *late)
    found, count = check(path)
    assert count == 10
    assert found.report.start_ns == pytest.approx(0.7 * NANOSECONDS, abs=0.025 * NANOSECONDS)
    assert found.report.fills_ns[0] == (0, found.report.start_ns)
    assert found.clips[0].filled_ns == found.report.start_ns


@pytest.mark.parametrize("case", ["aac-mp4", "aac-ts", "pcm-mkv"])
def test_an_early_start_is_cut(case: str, folder: Path) -> None:
    suffix, video, audio = LATE[case]
    times = [time + 0.3 for time in flash_times()]
    early = write_wav(folder / "early.wav", beeping(FILM.seconds + 0.3, times))
    path = folder / f"early-{case}{suffix}"
    maps = ("-map", "0:v", "-map", "1:a", "-c:v", "copy")
    ffmpeg("-itsoffset", "0.3", "-i", picture(folder, *video), "-i", early, *maps, *audio, path)
    found, count = check(path)
    assert count == 11
    assert found.report.start_ns == pytest.approx(-0.3 * NANOSECONDS, abs=0.025 * NANOSECONDS)
    assert found.report.filled_ns == found.report.cut_ns == 0


@pytest.mark.parametrize(
    ("suffix", "audio"),
    [(".mp4", "aac"), (".ts", "ac3"), (".mkv", "pcm_s16le"), (".mkv", "libopus"), (".flv", "aac")],
)
def test_a_gap_is_filled_where_it_is(suffix: str, audio: str, folder: Path, sound: Path) -> None:
    """Packets of 300 ms are missing, between two beeps."""
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


@pytest.mark.parametrize("factor", [1.001, 0.999])
@pytest.mark.parametrize(("suffix", "audio"), [(".mp4", "aac"), (".mkv", "flac"), (".ts", "aac")])
def test_drift_is_stretched_away(factor: float, suffix: str, audio: str, folder: Path) -> None:
    """The timestamps run 0.1 % faster or slower than the samples, as of two clocks."""
    times = [time / factor for time in flash_times()]
    own = write_wav(folder / "own-clock.wav", beeping(FILM.seconds, times))
    clock = ("-c:a", audio, "-bsf:a", f"setts=ts=round(TS*{factor})")
    path = mux(folder / f"drift-{factor}-{audio}{suffix}", picture(folder), own, *clock)
    found, count = check(path)
    assert count == 11
    assert found.report.drift_ppm == pytest.approx(1e6 * (factor - 1), abs=25)


def _flv(folder: Path, name: str, times: list[float], new_time: Callable[[int], int]) -> Path:
    samples = beeping(FILM.seconds, times, 44_100)
    wav = write_wav(folder / f"{name}.wav", samples, 44_100)
    path = folder / f"{name}.flv"
    return retime(mux(path, picture(folder), wav, "-c:a", "pcm_s16le"), new_time)


def test_an_overlap_is_cut(folder: Path) -> None:
    """From 6.2 s on the sound says that it begins 300 ms earlier: what was there first stays."""
    times = [time + 0.3 * (time > 6.2) for time in flash_times()]
    path = _flv(folder, "overlap", times, lambda ms: ms if ms < 6_200 else ms - 300)
    found, count = check(path)
    assert count == 11
    assert found.report.cut_ns == pytest.approx(0.3 * NANOSECONDS, abs=1e6)
    assert found.report.drift_ppm == 0


@pytest.mark.parametrize("reach_ms", [1, 3])
def test_noise_of_timestamps_moves_nothing(reach_ms: int, folder: Path) -> None:
    rng = random.Random(7)
    path = _flv(folder, "noise", flash_times(), lambda ms: ms + rng.randint(-reach_ms, reach_ms))
    found, count = check(path)
    assert count == 11
    assert found.report.drift_ppm == found.report.cut_ns == 0
    # Not a sample is inserted but before the first.
    assert all(start == 0 for start, _ in found.report.fills_ns)


def test_a_few_wrong_timestamps_move_nothing(folder: Path) -> None:
    path = _flv(folder, "glitch", flash_times(), lambda ms: ms + 500 * (6_000 < ms < 6_100))
    found, count = check(path)
    assert count == 11
    assert found.report.filled_ns < 1e6
    assert found.report.cut_ns == 0


@pytest.mark.parametrize("audio", ["aac", "flac"])
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


def test_sound_that_ends_early_or_late(folder: Path) -> None:
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


def test_a_track_without_one_sample(folder: Path, sound: Path) -> None:
    path = folder / "empty.mp4"
    mux(path, picture(folder), sound, "-af", "atrim=end=0", "-c:a", "aac")
    with pytest.raises(NoAudioStreamError):
        plan_of(path)


def test_a_broadcast_that_starts_hours_in_and_a_stream_of_unknown_length(
    folder: Path, sound: Path
) -> None:
    """TS time stamps wrap after 26.5 hours: this one wraps in the middle."""
    wraps = (2**33 / 90_000 - 6.0, "-c:a", "aac", "-muxdelay", "0")
    path = folder / "wraps.ts"
    mux(path, picture(folder), sound, "-output_ts_offset", *map(str, wraps))
    seen = Seen(0.0, flash_times(), [])
    _, count = check(path, seen)
    assert count == 11
    live = folder / "live.webm"
    mux(live, picture(folder, *VP8), sound, "-c:a", "libopus", "-live", "1")
    _, count = check(live)
    assert count == 11


UNTIMED = {"mp2-ts": (".ts", "mp2"), "aac-ts": (".ts", "aac"), "ac3-vob": (".vob", "ac3")}


@pytest.mark.parametrize("case", UNTIMED)
@pytest.mark.parametrize("every", [10, 1_000_000])
def test_packets_without_times(case: str, every: int, folder: Path, sound: Path) -> None:
    """Only every tenth packet says when it is heard, or only the first."""
    suffix, audio = UNTIMED[case]
    path = mux(folder / f"untimed-{case}{suffix}", picture(folder, *MPEG2), sound, "-c:a", audio)
    strip_times(path, lambda number: number % every == 0)
    found, count = check(path)
    assert count == 11
    assert plan_of(path).probe.audio.has_times
    assert found.report.filled_ns == found.report.cut_ns == 0


@pytest.mark.parametrize("case", UNTIMED)
def test_a_track_without_any_times_begins_with_the_picture(
    case: str, folder: Path, sound: Path
) -> None:
    """It cannot be known better; the index tells. (ffmpeg begins at 0, seconds too early.)"""
    suffix, audio = UNTIMED[case]
    path = mux(folder / f"no-times-{case}{suffix}", picture(folder, *MPEG2), sound, "-c:a", audio)
    strip_times(path, lambda number: False)
    plan = plan_of(path)
    assert not plan.probe.audio.has_times
    assert plan.probe.audio.choice.endswith("without times, so it begins with the picture")
    found, beeps = stored_beeps(plan)
    assert found.report.start_ns == 0
    # The coder's own delay is all that is left.
    assert np.abs(np.array(beeps) - flash_times()[: len(beeps)]).max() < 0.03
    assert len(beeps) == 11


def test_segments_change_no_sound(folder: Path, sound: Path) -> None:
    path = mux(folder / "whole.mp4", picture(folder), sound, "-c:a", "aac")
    one, many = plan_of(path), plan_of(path, seconds=2.0)
    assert len(many.segments) > len(one.segments)
    (first, first_bytes), (second, second_bytes) = steps.run_audio(one), steps.run_audio(many)
    assert first.clips == second.clips
    assert first_bytes.tobytes() == second_bytes.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.001, 0.999, 1.00002])
def test_drift_stays_below_a_millisecond_for_half_an_hour(factor: float, tmp_path: Path) -> None:
    film = Film(seconds=1800.0, fps=FILM.fps / 25, audio=(), flash_seconds=20.0)
    video = picture(tmp_path, film=film)
    times = [time / factor for time in flash_times(film)]
    own = write_wav(tmp_path / "own.wav", beeping(film.seconds, times))
    clock = ("-c:a", "aac", "-bsf:a", f"setts=ts=round(TS*{factor})")
    path = mux(tmp_path / "film.mkv", video, own, *clock)
    _, count = check(path, look(path, film))
    assert count >= 89


@pytest.mark.parametrize("change", [480, -480, 24, 1])
def test_stretching_reads_between_the_samples(change: int) -> None:
    count = 48_000
    position = np.arange(-MARGIN, count + MARGIN)
    source = np.sin(2 * np.pi * 1_000 / 48_000 * position).astype(np.float32)
    length = count + change
    wanted = np.sin(2 * np.pi * 1_000 / 48_000 * np.arange(length) * count / length)
    assert np.abs(stretch(source, length) - wanted).max() < 1e-4


def test_stretching_by_nothing_changes_nothing() -> None:
    source = np.random.default_rng(1).standard_normal(1_000 + 2 * MARGIN).astype(np.float32)
    np.testing.assert_allclose(stretch(source, 1_000), source[MARGIN:-MARGIN], atol=1e-6)
