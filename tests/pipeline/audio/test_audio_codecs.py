"""Every beep is stored at its flash, for every codec and container, late or early.

The movies have numbered frames; PyAV reports when the flash frames are shown. The beeps are
chirps, timed by cross-correlation in the FLAC that the clips hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shards_spec.recipe import NANOSECONDS
from tests.support.films.beeps import (
    FILM,
    H264,
    MPEG2,
    MPEG4,
    VP8,
    beeping,
    check,
    flash_times,
    hear,
    look,
    mux,
    num_expected,
    picture,
    write_wav,
)
from tests.support.films.media import ffmpeg
from tests.support.samples import mostly_slow

CODECS = {
    "aac-mp4": (".mp4", H264, ("-c:a", "aac")),
    "aac-ts": (".ts", H264, ("-c:a", "aac")),
    "opus-webm": (".webm", VP8, ("-c:a", "libopus")),
    "pcm-avi": (".avi", MPEG4, ("-c:a", "pcm_s16le")),
}
MORE_CODECS = {
    "flac-mkv": (".mkv", H264, ("-c:a", "flac")),
    "mp2-ts": (".ts", MPEG2, ("-c:a", "mp2")),
    "truehd-mkv": (".mkv", H264, ("-c:a", "truehd", "-strict", "-2", "-ac", "2")),
    "pcm-mkv": (".mkv", H264, ("-c:a", "pcm_s24le")),
    "pcm-mov": (".mov", H264, ("-c:a", "pcm_s16le")),
    "alac-mov": (".mov", H264, ("-c:a", "alac")),
    "vorbis-webm": (".webm", VP8, ("-c:a", "vorbis", "-strict", "-2", "-ac", "2")),
    "mp3-mp4": (".mp4", H264, ("-c:a", "libmp3lame")),
    "eac3-mp4": (".mp4", H264, ("-c:a", "eac3")),
    "ac3-mkv": (".mkv", H264, ("-c:a", "ac3")),
    "aac-44100-mov": (".mov", H264, ("-c:a", "aac", "-ar", "44100")),
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
    "mp3-mov": (".mov", H264, ("-c:a", "libmp3lame")),
    "mp3-ts": (".ts", H264, ("-c:a", "libmp3lame")),
    "mp3-22050-mkv": (".mkv", H264, ("-c:a", "libmp3lame", "-ar", "22050")),
    "mp3-wmv": (".wmv", ("-c:v", "wmv2", "-q:v", "3"), ("-c:a", "libmp3lame")),
    "mp2-mkv": (".mkv", H264, ("-c:a", "mp2")),
    "mp2-mov": (".mov", H264, ("-c:a", "mp2")),
    "ac3-mov": (".mov", H264, ("-c:a", "ac3")),
    "adpcm-avi": (".avi", MPEG4, ("-c:a", "adpcm_ms")),
}


@pytest.mark.parametrize("case", mostly_slow([*CODECS, *MORE_CODECS], CODECS))
def test_every_codec_in_its_container(case: str, folder: Path, sound: Path) -> None:
    suffix, video, audio = (CODECS | MORE_CODECS)[case]
    path = mux(folder / f"{case}{suffix}", picture(folder, *video), sound, *audio)
    found, count = check(path)
    assert count == num_expected(path) == 11
    assert found.report.drift_ppm == found.report.cut_ns == 0
    assert found.report.filled_ns < 0.012 * NANOSECONDS


@pytest.mark.parametrize(
    ("case", "suffix", "video", "audio"),
    [
        ("dts-ts", ".ts", H264, ("-c:a", "dca", "-strict", "-2", "-ac", "2")),
        pytest.param(
            *("dts-mkv", ".mkv", H264, ("-c:a", "dca", "-strict", "-2", "-ac", "2")),
            marks=pytest.mark.slow,
        ),
        ("ac3-avi", ".avi", MPEG4, ("-c:a", "ac3")),
        pytest.param("mp3-avi", ".avi", MPEG4, ("-c:a", "libmp3lame"), marks=pytest.mark.slow),
        pytest.param("mp2-avi", ".avi", MPEG4, ("-c:a", "mp2"), marks=pytest.mark.slow),
    ],
)
def test_an_undeclared_delay_is_read_as_other_decoders_read_it(
    case: str,
    suffix: str,
    video: tuple[str, ...],
    audio: tuple[str, ...],
    folder: Path,
    sound: Path,
) -> None:
    """ffmpeg's DTS encoder declares no delay, and AVI cannot store one: the file itself is late."""
    path = mux(folder / f"{case}{suffix}", picture(folder, *video), sound, *audio)
    seen = look(path)
    _, count = check(path, seen, own_skew=float(np.median(seen.skews(hear(path)))))
    assert count == 11


LATE = {
    "aac-mp4": (".mp4", H264, ("-c:a", "aac")),
    "aac-ts": (".ts", H264, ("-c:a", "aac")),
    "pcm-mkv": (".mkv", H264, ("-c:a", "pcm_s16le")),
    "flac-mp4": (".mp4", H264, ("-c:a", "flac", "-strict", "-2")),
    "opus-mp4": (".mp4", H264, ("-c:a", "libopus")),
}


@pytest.mark.parametrize("case", mostly_slow(LATE, ("aac-mp4", "pcm-mkv")))
def test_a_late_start_is_filled(case: str, folder: Path, sound: Path) -> None:
    suffix, video, audio = LATE[case]
    late = ("-af", "atrim=start=0.7", *audio)
    path = mux(folder / f"late-{case}{suffix}", picture(folder, *video), sound, *late)
    found, count = check(path)
    assert count == 10
    assert found.report.start_ns == pytest.approx(0.7 * NANOSECONDS, abs=0.025 * NANOSECONDS)
    assert found.report.fills_ns[0] == (0, found.report.start_ns)
    assert found.clips[0].filled_ns == found.report.start_ns


@pytest.mark.parametrize("case", mostly_slow(["aac-mp4", "aac-ts", "pcm-mkv"], ("aac-ts",)))
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
