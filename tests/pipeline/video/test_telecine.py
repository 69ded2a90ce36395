"""Soft telecine (frames that repeat a field) and hard telecine (interleaved fields)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.video.filters import applied
from shards_spec.recipe import NANOSECONDS
from tests.support.films import pulldown
from tests.support.films.beeps import beeping, look, stored_beeps, write_wav
from tests.support.films.beeps import plan_of as plan_with_sound
from tests.support.films.media import Film, draw_frame, ffmpeg, make_film, read_number
from tests.support.films.oracle import clips_of, everything, judged, plan_of, source_frames
from tests.support.samples import mostly_slow

LIMIT_SECONDS = 1e-3
# Noise makes frames as large as those of a DVD, where no two start in the same packet.
FILM = Film(
    fps=pulldown.FILM_FPS,
    height=128,
    video=("-vf", "noise=alls=60:allf=t", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"),
    gop=12,
    audio=(),
)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.m2v", FILM)


@pytest.mark.parametrize("suffix", mostly_slow([".ts", ".mkv", ".mpg"], (".mkv",)))
def test_soft_telecine(suffix: str, stream: Path, tmp_path: Path) -> None:
    """Each frame is shown for its three or two fields, unchanged, and in sync with its beep."""
    silent, path = tmp_path / f"silent{suffix}", tmp_path / f"film{suffix}"
    pulldown.pull_down(stream, silent)
    times = [float(pulldown.shown_seconds(number)) for number in FILM.flash_frames]
    sound = write_wav(tmp_path / "beeps.wav", beeping(FILM.seconds, times))
    maps = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "ac3")
    ffmpeg("-i", silent, "-i", sound, *maps, path)
    plan = plan_of(path)
    video = plan.probe.video
    assert video.avg_frame_rate == "30000/1001"
    assert not video.is_interlaced
    assert "bwdif" not in applied(plan.probe, None)
    truth = source_frames(path)
    assert [number for _, number in truth] == list(range(FILM.num_frames))
    if suffix != ".mpg":
        # A frame whose start is split over two packets of a program stream has no time there.
        deviations = [abs(time - pulldown.shown_seconds(number)) for time, number in truth]
        assert max(deviations) < LIMIT_SECONDS
    num_wrong, whole = judged(plan, truth)
    assert num_wrong == 0
    parts = plan_of(path, seconds=1.7)
    assert len(parts.segments) >= 4
    assert everything(parts) == whole
    seen = look(path, FILM)
    _, beeps = stored_beeps(plan_with_sound(path))
    flashes = np.array(seen.flashes) - seen.first_frame
    assert len(beeps) == 11
    assert max(np.abs(flashes - beep).min() for beep in beeps) < LIMIT_SECONDS


def test_hard_telecine_is_reversed(tmp_path: Path) -> None:
    """Every stored frame is an original frame, pixel by pixel, not two interleaved ones."""
    lossless = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
    film = Film(fps=pulldown.FILM_FPS, video=lossless, audio=("-c:a", "pcm_s16le"), gop=1)
    whole, path = make_film(tmp_path / "whole.nut", film), tmp_path / "film.ts"
    mpeg2 = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "15", "-bf", "2", "-flags", "+ildct+ilme")
    ffmpeg("-i", whole, "-vf", "telecine=pattern=23", *mpeg2, "-c:a", "mp2", path)
    plan = plan_of(path)
    assert plan.probe.video.is_interlaced
    clips = clips_of(plan)
    assert len(clips) >= 6
    for number, (_, frames) in clips.items():
        for place, frame in enumerate(frames):
            shown = read_number(frame)
            # Pulldown itself shifts an original frame by up to one frame.
            time = plan.clip_start_ns(number) / NANOSECONDS + place / plan.recipe.fps
            assert abs(shown - time * float(pulldown.FILM_FPS)) <= 2
            away = np.abs(frame.astype(int) - draw_frame(shown, film)).mean()
            assert away < 6, f"frame {shown}: {away}"
    assert everything(plan_of(path, seconds=1.7)) == everything(plan)
