from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio.clips import AudioClip, overlap_ns
from pipeline.audio.features import LOG_FLOOR, level_dbfs, log_mel
from pipeline.movie.frames import VideoClip
from pipeline.movie.selection import drop_reason, order_seed
from pipeline.video.encoded_frames import luma_sums
from shards_spec.recipe import Recipe


def _video(**changes: object) -> VideoClip:
    values: dict[str, object] = {
        "clip_number": 0,
        "first_frame_pts_ns": 0,
        "luma_mean": 100.0,
        "luma_std": 40.0,
        "motion": 3.0,
    }
    return VideoClip(**{**values, **changes})  # type: ignore[arg-type]


def _audio(rms_dbfs: float = -20.0) -> AudioClip:
    return AudioClip(0, 51_200, 0, rms_dbfs, -3.0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("video", "audio", "reason"),
    [
        (_video(), _audio(), None),
        (_video(luma_mean=10.0, luma_std=2.0), _audio(), "black"),
        (_video(luma_mean=10.0, luma_std=9.0), _audio(), None),
        (_video(motion=0.0), _audio(), "frozen"),
        (_video(), _audio(-120.0), "silent"),
        (_video(luma_mean=1.0, luma_std=0.0, motion=0.0), _audio(-120.0), "black"),
    ],
)
def test_drop_rules(video: VideoClip, audio: AudioClip, reason: str | None) -> None:
    assert drop_reason(video, audio, Recipe()) == reason


def test_single_frames_are_never_frozen() -> None:
    recipe = Recipe(num_frames=1, fps=1.0)
    assert drop_reason(_video(motion=0.0), _audio(), recipe) is None


def test_movies_do_not_share_one_order() -> None:
    assert order_seed(0, "a") != order_seed(0, "b")
    assert order_seed(0, "a") == order_seed(0, "a")


def test_log_mel_has_the_recipes_shape_and_shows_a_tone_in_its_band() -> None:
    recipe = Recipe()
    time = np.arange(recipe.clip_samples) / recipe.sample_rate_hz
    low = log_mel(np.sin(2 * np.pi * 300 * time).astype(np.float32), recipe)
    high = log_mel(np.sin(2 * np.pi * 5000 * time).astype(np.float32), recipe)
    assert low.shape == (80, 320)
    assert low.dtype == np.float16
    middle = slice(10, 300)
    assert low[:, middle].mean(axis=1).argmax() < 15
    assert high[:, middle].mean(axis=1).argmax() > 60


def test_log_mel_of_silence_is_the_floor() -> None:
    recipe = Recipe()
    silence = log_mel(np.zeros(recipe.clip_samples, np.float32), recipe)
    assert np.all(silence == np.float16(np.log(LOG_FLOOR)))


def test_log_mel_columns_are_where_their_samples_are() -> None:
    recipe = Recipe()
    samples = np.zeros(recipe.clip_samples, np.float32)
    samples[16_000] = 1.0
    columns = np.flatnonzero(log_mel(samples, recipe).max(axis=0) > -15)
    # Column j covers samples [160 j + 56, 160 j + 456): the columns around sample 16 000.
    assert columns.tolist() == [98, 99]


def test_levels() -> None:
    assert level_dbfs(1.0) == 0.0
    assert level_dbfs(0.1) == pytest.approx(-20.0)
    assert level_dbfs(0.0) == -120.0


def test_overlap_with_gaps() -> None:
    gaps = ((0, 10), (30, 40))
    assert overlap_ns(gaps, 5, 35) == 10
    assert overlap_ns(gaps, 10, 30) == 0


@pytest.mark.parametrize("shape", [(64, 114), (128, 171), (128, 228)])
def test_sums_of_luma_are_exact(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    frames = [np.full(shape, value, np.uint8) for value in (0, 3, 16, 255)]
    frames += [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(50)]
    before = None
    for luma in frames:
        whole = luma.astype(np.int64)
        change = 0 if before is None else int(np.abs(whole - before).sum())
        assert luma_sums(luma, before) == (int(whole.sum()), int((whole**2).sum()), change)
        before = luma
