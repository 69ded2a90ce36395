"""Frames and audio of real movies, compared with PyAV as an independent reference."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import (
    MovieError,
    NoAudioStreamError,
    NoVideoStreamError,
    TooShortError,
    UnreadableError,
)
from pipeline.plan.movie_plan import PlacedPlan
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films import oracle
from tests.support.films.media import Film, ffmpeg, make_film, onsets, read_number
from tests.support.films.oracle import (
    clips_of,
    decoded_audio,
    everything,
    source_frames,
    wrong_frames,
)
from tests.support.samples import mostly_slow

RECIPE = Recipe(num_frames=8, short_side=112, store_audio=True, crop_bars=False)


def plan_of(path: Path, recipe: Recipe = RECIPE, seconds: float = 1000.0) -> PlacedPlan:
    return oracle.plan_of(path, recipe, seconds)


CASES = {
    "h264-25": (".mp4", Film()),
    "h264-23.976": (".mp4", Film(fps=Fraction(24000, 1001))),
    "h264-b-frames-mkv": (".mkv", Film(video=("-c:v", "libx264", "-bf", "3"), fps=Fraction(30))),
    "mpeg2-ts": (".ts", Film(video=("-c:v", "mpeg2video", "-q:v", "3"), audio=("-c:a", "mp2"))),
    "mpeg4-avi": (".avi", Film(video=("-c:v", "mpeg4", "-q:v", "3"), audio=("-c:a", "ac3"))),
    "slow-4-fps": (".mp4", Film(fps=Fraction(4))),
}


@pytest.mark.parametrize("case", mostly_slow(CASES, ("h264-23.976", "mpeg2-ts", "slow-4-fps")))
def test_every_frame_is_the_one_on_screen(case: str, tmp_path: Path) -> None:
    suffix, film = CASES[case]
    path = make_film(tmp_path / f"film{suffix}", film)
    plan = plan_of(path)
    assert plan.end_clip == 7
    assert wrong_frames(plan, source_frames(path)) == 0


def test_variable_frame_rate(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mp4")
    path = tmp_path / "film.mkv"
    # In every other second, keep only every fifth frame.
    kept = "select='mod(floor(t),2)+not(mod(n,5))'"
    ffmpeg("-i", whole, "-vf", kept, "-fps_mode", "vfr", "-c:a", "copy", path)
    plan = plan_of(path)
    assert plan.probe.is_vfr
    assert wrong_frames(plan, source_frames(path)) == 0


def test_segments_do_not_change_any_bytes(tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", Film(seconds=20, gop=30, video=("-c:v", "libx264")))
    one, many = plan_of(path), plan_of(path, seconds=2.5)
    assert len(one.segments) == 1
    assert len(many.segments) >= 4
    assert any(segment.seek_ns for segment in many.segments)
    assert everything(one) == everything(many)


@pytest.mark.parametrize("delay", mostly_slow([0.0, 0.48, -0.3], (0.48, -0.3)))
def test_audio_starts_with_its_video(tmp_path: Path, delay: float) -> None:
    """Each tone starts with its flash, also when the audio stream starts late or early."""
    film = Film(audio=("-c:a", "pcm_s16le"))
    whole = make_film(tmp_path / "whole.mkv", film)
    path = tmp_path / "film.mkv"
    if delay >= 0:
        # The first `delay` seconds of audio are missing.
        trim = f"atrim=start={delay},asetpts=PTS"
        ffmpeg("-copyts", "-i", whole, "-c:v", "copy", "-af", trim, "-c:a", "pcm_s16le", path)
    else:
        # Audio starts before the video: both shifted, with 0.3 s of silence first.
        shift = ("-itsoffset", f"{-delay}", "-i", whole, "-i", whole)
        lead = f"adelay={round(-delay * 1000)}"
        ffmpeg(*shift, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-af", lead, path)
    plan = plan_of(path)
    times = [float(frame / film.fps) for frame in film.flash_frames]
    end = plan.clip_end_ns(plan.end_clip - 1) / NANOSECONDS
    expected = [time for time in times if delay < time < end]
    found = _tone_times(plan)
    assert len(found) == len(expected)
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 1e-3
    sound, _ = decoded_audio(plan)
    assert sound.report.start_ns == pytest.approx(delay * NANOSECONDS, abs=1e6)
    assert sound.report.filled_ns == pytest.approx(max(0, delay) * NANOSECONDS, abs=1e6)
    assert sound.clips[0].filled_ns == sound.report.filled_ns


def _tone_times(plan: PlacedPlan) -> list[float]:
    """Starts of tones on the movie timeline, seconds, from the stored FLAC of every clip."""
    sound, data = decoded_audio(plan)
    rate = plan.recipe.sample_rate_hz
    timeline = np.zeros((plan.end_clip + 1) * plan.recipe.clip_samples)
    for clip in sound.clips:
        assert abs(clip.skew_ns) <= NANOSECONDS / rate / 2
        start = clip.logmel_offset + clip.logmel_bytes
        samples, found_rate = soundfile.read(
            io.BytesIO(data[start : start + clip.flac_bytes].tobytes())
        )
        assert found_rate == rate
        assert len(samples) == clip.num_samples == plan.recipe.clip_samples
        first = round(plan.clip_start_ns(clip.clip_number) * rate / NANOSECONDS)
        timeline[first : first + len(samples)] = samples
    return onsets(timeline, rate)


def test_aac_priming_does_not_shift_the_audio(tmp_path: Path) -> None:
    film = Film()
    plan = plan_of(make_film(tmp_path / "film.mp4", film))
    found = _tone_times(plan)
    expected = [float(frame / film.fps) for frame in film.flash_frames]
    # A lossy codec smears an onset over its window; a priming error would be 21 ms or more.
    errors = np.array(found) - np.array(expected[: len(found)])
    assert abs(np.median(errors)) < 5e-3


@pytest.mark.slow
def test_bars_are_found_and_removed(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mp4", Film(width=320, height=136))
    path = tmp_path / "film.mp4"
    ffmpeg("-i", whole, "-vf", "pad=320:180:0:22:black", "-c:a", "copy", path)
    plan = plan_of(path, Recipe(num_frames=8, short_side=112))
    assert str(plan.crop) == "320:136:0:22"
    assert (plan.height, plan.width) == (112, 264)
    assert wrong_frames(plan, source_frames(whole)) == 0


def test_rotation_and_sample_aspect(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mp4")
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "-90", "-i", whole, "-c", "copy", turned)
    plan = plan_of(turned)
    assert plan.probe.video.rotation == 90
    assert (plan.height, plan.width) == (192, 112)
    _, frames = clips_of(plan)[0]
    # Upright again after a clockwise turn: the number cells run down the right side.
    assert read_number(np.rot90(frames[5])) == 25
    wide = tmp_path / "wide.mp4"
    ffmpeg("-i", whole, "-vf", "setsar=2", "-c:a", "copy", wide)
    assert plan_of(wide).width == 384


def test_a_movie_truncated_in_the_middle_keeps_its_intact_part(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.ts", Film(video=("-c:v", "mpeg2video", "-q:v", "3")))
    path = tmp_path / "film.ts"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    plan = plan_of(path)
    assert 2 <= plan.end_clip <= 5
    clips = clips_of(plan)
    assert len(clips) >= plan.end_clip - 1
    assert read_number(clips[0][1][0]) == 0


def test_cover_art_is_not_a_video(tmp_path: Path) -> None:
    art = tmp_path / "art.jpg"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=600x600", "-frames:v", "1", "-c:v", "mjpeg", art)
    song = make_film(tmp_path / "film.mp4")
    only_art = tmp_path / "song.mp4"
    cover = ("-map", "1:a", "-map", "0:v", "-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", art, "-i", song, *cover, only_art)
    with pytest.raises(NoVideoStreamError, match="only cover art"):
        plan_of(only_art)
    both = tmp_path / "both.mp4"
    ffmpeg(
        *("-i", song, "-i", art, "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:v:1", "attached_pic", both),
    )
    plan = plan_of(both)
    assert plan.probe.video.width == 192


def _broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.mp4"
    if kind == "garbage":
        path.write_bytes(b"no film" * 1000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "playlist":
        path.write_text("#EXTM3U\n#EXTINF:10,\n/etc/hostname\n")
    elif kind == "mute":
        make_film(path, Film(seconds=4, audio=()))
    else:
        make_film(path, Film(seconds=1))
    return path


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("garbage", UnreadableError, "the file is corrupt or not a movie"),
        ("empty", UnreadableError, "the file is corrupt or not a movie"),
        ("playlist", UnreadableError, "playlist.mp4"),
        ("mute", NoAudioStreamError, "no audio stream"),
        ("short", TooShortError, "contains no whole clip"),
    ],
)
def test_unusable_files_have_specific_errors(
    tmp_path: Path, kind: str, error: type[MovieError], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_of(_broken(tmp_path, kind))
