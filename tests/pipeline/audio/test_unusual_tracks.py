"""Tracks that can be handled in several ways: the choice is documented in docs/operations.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from shards_spec.recipe import Recipe
from tests.support.films.media import ffmpeg
from tests.support.films.oracle import decoded_audio, plan_of

RECIPE = Recipe(num_frames=8, short_side=32, crop_bars=False)
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video")


def _levels(path: Path, audio: str, *options: str) -> list[tuple[float, float]]:
    """(RMS, peak) of each clip of a movie with synthesized audio, dBFS."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=192x112:r=25:d=4", "-f", "lavfi", "-i", audio),
        *(*options, path),
    )
    audio_of_clips, _ = decoded_audio(plan_of(path, RECIPE))
    return [(clip.rms_dbfs, clip.peak_dbfs) for clip in audio_of_clips.clips]


@pytest.mark.parametrize(("suffix", "codec"), [("mov", "pcm_s16le"), ("caf.mov", "pcm_s24le")])
def test_a_track_with_only_a_low_frequency_channel_is_used(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    tone = "sine=60:d=4:r=48000,pan={0}|{0}=c0"
    low = _levels(tmp_path / f"lfe.{suffix}", tone.format("LFE"), *H264, "-c:a", codec)
    mono = _levels(tmp_path / f"mono.{suffix}", tone.format("FC"), *H264, "-c:a", codec)
    assert low == mono
    assert all(rms > -25 for rms, _ in low)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_linear_pcm_of_a_dvd(tmp_path: Path, channels: int) -> None:
    options = (*MPEG2, "-c:a", "pcm_dvd", "-ac", str(channels), "-f", "vob")
    levels = _levels(tmp_path / "a.vob", "sine=440:d=4:r=48000", *options)
    assert levels
    assert all(-40 < rms < -15 for rms, _ in levels)


@pytest.mark.parametrize("offset", [0.25, 0.5, -0.5])
def test_a_dc_offset_is_kept(tmp_path: Path, offset: float) -> None:
    """It counts as level: in a short clip it cannot be distinguished from a very low tone."""
    audio = f"aevalsrc={offset}:d=4:s=48000"
    levels = _levels(tmp_path / "a.mov", audio, *H264, "-c:a", "pcm_s16le")
    expected = {0.25: -12.04, 0.5: -6.02}[abs(offset)]
    assert all(abs(rms - expected) < 0.1 for rms, _ in levels)
