"""Streams that start late, stop, change identifiers, belong to programs, or are stills."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import NoAudioStreamError, NoVideoStreamError
from pipeline.plan.movie_plan import PlacedPlan
from pipeline.probe import Probe, probe
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import NANOSECONDS
from tests.support.films.beeps import (
    FILM,
    H264,
    MPEG2,
    beeping,
    flash_times,
    picture,
    stored_beeps,
    write_wav,
)
from tests.support.films.media import Film, ffmpeg, make_film, read_number
from tests.support.films.opened import opened
from tests.support.films.oracle import (
    RECIPE,
    clips_of,
    decoded_audio,
    everything,
    plan_of,
    source_frames,
    wrong_frames,
)
from tests.support.samples import mostly_slow

LENGTHS = (1000.0, 3.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def sound(folder: Path) -> Path:
    return write_wav(folder / "beeps.wav", beeping(FILM.seconds, flash_times()))


def probe_of(path: Path, **wishes: object) -> Probe:
    (movie,) = find_movies(str(path))
    movie = dataclasses.replace(movie, **wishes)  # type: ignore[arg-type]
    return probe(movie, opened(movie), "")


def same_clips(path: Path, *, late_seconds: float = 0.0) -> PlacedPlan:
    """Every frame is correct and every beep is at its flash, for any segment length."""
    truth = source_frames(path)
    plans = [plan_of(path, dataclasses.replace(RECIPE, store_audio=True), s) for s in LENGTHS]
    assert [wrong_frames(plan, truth) for plan in plans] == [0, 0]
    _, beeps = stored_beeps(plans[0])
    expected = [time for time in flash_times() if time > late_seconds]
    assert beeps == pytest.approx(expected[: len(beeps)], abs=0.03)
    assert len(beeps) >= len(expected) - 1
    return plans[0]


LATE_AUDIO = {
    "aac.ts": (H264, ("-c:a", "aac")),
    "mp2.mpg": (MPEG2, ("-c:a", "mp2", "-f", "mpeg")),
    "ac3.vob": (MPEG2, ("-c:a", "ac3", "-f", "vob")),
    "aac.flv": (H264, ("-c:a", "aac", "-ar", "44100")),
}


@pytest.mark.parametrize("name", mostly_slow(LATE_AUDIO, ("mp2.mpg",)))
def test_audio_that_starts_after_seven_seconds(name: str, folder: Path, sound: Path) -> None:
    video, coder = LATE_AUDIO[name]
    path = folder / f"late-{name}"
    late = ("-itsoffset", "7.2", "-ss", "7.2", "-i", sound)
    maps = ("-map", "0:v", "-map", "1:a", "-c:v", "copy")
    ffmpeg("-i", picture(folder, *video), *late, *maps, *coder, path)
    audio, _ = decoded_audio(same_clips(path, late_seconds=7.2))
    assert audio.report.fills_ns[0][0] == 0
    assert audio.report.fills_ns[0][1] == pytest.approx(7.2 * NANOSECONDS, abs=6e7)


LATE_VIDEO = {
    "h264.ts": H264,
    "mpeg2.ts": MPEG2,
    "hevc.ts": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
}


@pytest.mark.parametrize("name", mostly_slow(LATE_VIDEO, ("h264.ts",)))
def test_video_that_starts_after_the_audio(name: str, folder: Path) -> None:
    path, video = folder / f"late-video-{name}", LATE_VIDEO[name]
    times = [time + 6.5 for time in flash_times()]
    sound = write_wav(folder / "longer.wav", beeping(FILM.seconds + 6.5, times))
    maps = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "mp2")
    ffmpeg("-itsoffset", "6.5", "-i", picture(folder, *video), "-i", sound, *maps, path)
    same_clips(path)


def test_a_recording_that_starts_in_a_long_group_of_pictures(folder: Path, sound: Path) -> None:
    """Its first keyframe comes after 6 s: clips start there."""
    coder = (*Film().video, "-x264-params", "keyint=200:min-keyint=200:scenecut=0")
    video = make_film(folder / "long.mkv", Film(seconds=20, audio=(), video=coder, gop=200))
    whole = folder / "long.ts"
    ffmpeg("-i", video, "-i", sound, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "aac", whole)
    data = whole.read_bytes()
    starts = [
        at
        for at in range(0, len(data), 188)
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 256 and data[at + 1] & 0x40
    ]
    path = folder / "cut.ts"
    path.write_bytes(data[:564] + data[starts[50] :])
    found = probe_of(path)
    assert found.start_ns == pytest.approx((8.0 + 1.4) * NANOSECONDS, abs=1e8)
    assert found.missing_ns == 0
    plan = plan_of(path)
    assert wrong_frames(plan, source_frames(path)) == 0


def test_the_error_reports_how_far_the_file_was_read(folder: Path) -> None:
    path = folder / "mute.ts"
    ffmpeg("-i", picture(folder), "-c", "copy", path)
    with pytest.raises(NoAudioStreamError, match="no audio stream in its first 600 s"):
        probe_of(path)


STILLS = {
    "last.mp4": (("0", "1", "2"), "mjpeg", ()),
    "first.mkv": (("2", "0", "1"), "mjpeg", ("-disposition:v:0", "default")),
    "default.mov": (("0", "1", "2"), "libx264", ("-disposition:v:1", "default")),
    "last.ts": (("0", "1", "2"), "mpeg2video", ()),
}


@pytest.mark.parametrize("name", mostly_slow(STILLS, ("first.mkv", "last.ts")))
def test_a_large_still_is_not_the_video(name: str, folder: Path, sound: Path) -> None:
    order, codec, options = STILLS[name]
    cover = folder / "cover.jpg"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x912:d=1:r=1", "-frames:v", "1", cover)
    path = folder / f"still-{name}"
    maps = [word for number in order for word in ("-map", number)]
    place = order.index("2") - (order.index("1") < order.index("2"))
    codecs = ("-c:v", "copy", f"-c:v:{place}", codec, "-c:a", "aac")
    ffmpeg("-i", picture(folder), "-i", sound, "-i", cover, *maps, *codecs, *options, path)
    found = probe_of(path)
    assert (found.video.width, found.video.height) == (FILM.width, FILM.height)
    assert found.duration_ns == pytest.approx(12 * NANOSECONDS, abs=5e7)
    assert found.lost_ns == 0


def programs(folder: Path, path: Path) -> Path:
    """Two programs: 96x64 with audio of 48 kHz, and 192x112 with audio of 44.1 kHz."""
    small = folder / "small.mkv"
    ffmpeg("-i", picture(folder), "-vf", "scale=96:64", "-c:v", "libx264", "-g", "25", small)
    tones = [folder / f"{rate}.wav" for rate in (48_000, 44_100)]
    for tone, rate in zip(tones, (48_000, 44_100), strict=True):
        ffmpeg("-f", "lavfi", "-i", f"sine=d=12:r={rate}", tone)
    maps = [word for number in "0123" for word in ("-map", number)]
    numbers = ("-program", "program_num=7:title=small:st=0:st=1")
    numbers += ("-program", "program_num=9:title=large:st=2:st=3")
    inputs = ("-i", small, "-i", tones[0], "-i", picture(folder), "-i", tones[1])
    ffmpeg(*inputs, *maps, "-c:v", "copy", "-c:a", "mp2", "-b:a", "96k", *numbers, path)
    return path


def test_audio_comes_from_the_program_of_the_video(folder: Path) -> None:
    path = programs(folder, folder / "two.ts")
    found = probe_of(path)
    assert (found.video.width, found.audio.sample_rate_hz) == (192, 44_100)
    assert (found.program, found.num_programs) == (9, 2)
    other = probe_of(path, program=7)
    assert (other.video.width, other.audio.sample_rate_hz) == (96, 48_000)
    assert other.program == 7
    with pytest.raises(NoVideoStreamError, match=r"program 8.*that have one: 7, 9"):
        probe_of(path, program=8)


def test_the_manifest_may_name_the_program(folder: Path) -> None:
    programs(folder, folder / "named.ts")
    (folder / "m.csv").write_text("uri,program\nnamed.ts,7\n")
    (movie,) = find_movies(str(folder / "m.csv"))
    assert movie.program == 7
    assert probe(movie, opened(movie), "").program == 7


def test_a_program_without_audio_is_not_chosen(folder: Path, sound: Path) -> None:
    """The larger video has no audio of its own."""
    small = folder / "with-audio.mkv"
    ffmpeg("-i", picture(folder), "-vf", "scale=96:64", "-c:v", "libx264", "-g", "25", small)
    path = folder / "silent-program.ts"
    numbers = ("-program", "program_num=1:st=0", "-program", "program_num=2:st=1:st=2")
    maps = ("-map", "0", "-map", "1", "-map", "2", "-c:v", "copy", "-c:a", "aac")
    ffmpeg("-i", picture(folder), "-i", small, "-i", sound, *maps, *numbers, path)
    found = probe_of(path)
    assert (found.video.width, found.program) == (96, 2)
    with pytest.raises(NoAudioStreamError, match="program 1, which the video belongs to"):
        probe_of(path, program=1)


@pytest.mark.parametrize(
    ("coder", "audio"),
    [(H264, "mp2"), pytest.param(MPEG2, "ac3", marks=pytest.mark.slow), (H264, "aac")],
)
def test_audio_that_no_program_claims(
    coder: tuple[str, ...], audio: str, folder: Path, sound: Path
) -> None:
    """The program map lists the video only, but there are audio packets as well."""
    path = folder / f"unclaimed-{audio}.ts"
    maps = ("-map", "0", "-map", "1", "-c:v", "copy", "-c:a", audio)
    program = ("-program", "program_num=5:st=0")
    ffmpeg("-i", picture(folder, *coder), "-i", sound, *maps, *program, path)
    found = probe_of(path)
    assert (found.program, found.audio.index, found.audio.codec) == (5, 1, audio)


MOVED = {
    "both": ("-streamid", "0:400", "-streamid", "1:401"),
    "video": ("-streamid", "0:400", "-streamid", "1:257"),
    "audio": ("-streamid", "0:256", "-streamid", "1:401"),
}


@pytest.mark.parametrize("case", mostly_slow(MOVED, ("both",)))
@pytest.mark.parametrize(
    "coder",
    [pytest.param(FILM.video, marks=pytest.mark.slow), MPEG2],
    ids=["h264", "mpeg2"],
)
def test_streams_that_change_their_identifier_are_followed(
    case: str, coder: tuple[str, ...], folder: Path, sound: Path
) -> None:
    parts = [folder / "head.ts", folder / "tail.ts"]
    for part, start, options in ((parts[0], "0", ()), (parts[1], "6", MOVED[case])):
        cut = ("-ss", start, "-t", "6")
        inputs = (*cut, "-i", picture(folder), *cut, "-i", sound, "-map", "0", "-map", "1")
        coders = (*coder, "-g", "25", "-c:a", "mp2", "-muxdelay", "0", "-output_ts_offset", start)
        ffmpeg(*inputs, *coders, *options, part)
    path = folder / f"moved-{case}-{coder[1]}.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = probe_of(path)
    assert found.duration_ns == pytest.approx(12 * NANOSECONDS, abs=1e8)
    assert found.lost_ns == 0
    plans = [plan_of(path, dataclasses.replace(RECIPE, store_audio=True), s) for s in LENGTHS]
    one, *others = [everything(plan) for plan in plans]
    assert all(other == one for other in others)
    clips = clips_of(plans[0])
    assert sorted(clips) == list(range(7))
    for number, (_, frames) in clips.items():
        nominal = [round((number * 8 + i) * 25 / RECIPE.fps) for i in range(8)]
        # Parts of a transport stream start up to a frame late.
        assert [read_number(frame) for frame in frames] == pytest.approx(nominal, abs=1)
    _, beeps = stored_beeps(plans[0])
    assert len(beeps) >= 10
    assert np.abs(np.array(beeps) - flash_times()[: len(beeps)]).max() < 0.05


@pytest.mark.parametrize("suffix", mostly_slow([".mkv", ".mov", ".nut"], (".mov",)))
def test_video_that_continues_in_another_stream_is_counted(
    suffix: str, folder: Path, sound: Path
) -> None:
    path = folder / f"continued{suffix}"
    first, second = ("-t", "7", "-i", picture(folder)), ("-itsoffset", "7", "-ss", "7")
    maps = ("-map", "0:v", "-map", "1:v", "-map", "2:a", "-c:v", "copy", "-c:a", "pcm_s16le")
    ffmpeg(*first, *second, "-i", picture(folder), "-i", sound, *maps, path)
    found = probe_of(path)
    assert found.duration_ns == pytest.approx(7 * NANOSECONDS, abs=1e9)
    assert found.lost_ns == pytest.approx(5 * NANOSECONDS, abs=1.1 * NANOSECONDS)
