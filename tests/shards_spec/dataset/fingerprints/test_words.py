"""Words of images and of spectrograms: what changes them, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import logmel_track
from shards_spec.dataset.fingerprints.video import thumbs_of, video_track
from shards_spec.dataset.fingerprints.words import distances, resampled
from shards_spec.recipe import Recipe

RECIPE = Recipe()


def test_resampling_takes_means_of_equal_parts() -> None:
    values = np.array([[1.0, 3.0, 5.0, 7.0]], np.float32)
    assert resampled(values, 2, axis=1).tolist() == [[2.0, 6.0]]
    assert resampled(values, 4, axis=1).tolist() == values.tolist()
    assert resampled(values, 8, axis=1).tolist() == [[1.0, 1.0, 3.0, 3.0, 5.0, 5.0, 7.0, 7.0]]
    # The middle one of three parts covers a third of the second and of the third value.
    thirds = resampled(values, 3, axis=1)[0]
    assert thirds == pytest.approx([(1 + 3 / 3) / (4 / 3), 4.0, (5 / 3 + 7) / (4 / 3)])


def test_distance_counts_bits() -> None:
    first = np.array([0, 0b1011, 2**64 - 1], np.uint64)
    assert distances(first, np.zeros(3, np.uint64)).tolist() == [0, 3, 64]


def melody(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """(80, F) a spectrogram in which bands rise and fall within about a second."""
    generator = np.random.default_rng(seed)
    knots = generator.normal(size=(20, round(seconds / 0.4)))
    times = np.linspace(0, knots.shape[1] - 1, round(seconds * 100))
    curves = [np.interp(times, np.arange(knots.shape[1]), row) for row in knots]
    return np.repeat(np.array(curves, np.float32), 4, axis=0) * 3.0 - 8.0


def mean_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    tracks = [logmel_track(logmel, RECIPE) for logmel in (first, second)]
    _, left, right = np.intersect1d(tracks[0].step, tracks[1].step, return_indices=True)
    return float(distances(tracks[0].words[left], tracks[1].words[right]).mean())


def test_audio_words_stay_when_sound_is_louder_or_filtered() -> None:
    audio = melody(60.0)
    tilt = np.linspace(-2.0, 4.0, 80, dtype=np.float32)[:, None]
    assert mean_distance(audio, audio + 2.5) < 1
    assert mean_distance(audio, audio + tilt) < 1


@pytest.mark.parametrize("late_columns", [3, 10, 20])
def test_audio_words_of_a_copy_that_starts_between_steps(late_columns: int) -> None:
    audio = melody(60.0)
    assert mean_distance(audio, audio[:, late_columns:]) < 20


def test_audio_words_of_other_audio_differ_in_half_of_the_bits() -> None:
    assert 28 < mean_distance(melody(60.0), melody(60.0, seed=1)) < 36


def test_constant_and_silent_audio_has_no_words() -> None:
    steady = np.repeat(melody(1.0)[:, :1], 3000, axis=1)
    assert len(logmel_track(steady, RECIPE).words) == 0
    assert len(logmel_track(np.full((80, 3000), -23.03), RECIPE).words) == 0


def test_audio_words_are_at_their_time_on_the_timeline() -> None:
    audio = melody(30.0)
    whole = logmel_track(audio, RECIPE)
    later = logmel_track(audio[:, 1000:], RECIPE, start_ns=10_000_000_000)
    _, left, right = np.intersect1d(whole.step, later.step, return_indices=True)
    assert len(left) == len(later.step) > 30
    assert (whole.words[left] == later.words[right]).all()


def picture(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """(8, H, W) luma of frames in which soft shapes move."""
    generator = np.random.default_rng(seed)
    waves = generator.uniform(0.5, 3.0, size=(6, 2)), generator.uniform(0, 6, size=6)
    y, x = np.mgrid[0 : 1 : 1j * size[0], 0 : 1 : 1j * size[1]]
    frames = [
        sum(
            np.cos(6.28 * (fy * y + fx * x) + phase + time)
            for (fy, fx), phase in zip(*waves, strict=True)
        )
        for time in np.arange(8) * 0.7
    ]
    return np.clip(128 + 20 * np.array(frames), 30, 255).astype(np.uint8)


STEPS = {number: number for number in range(8)}


def words_of_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint64]:
    track, _ = video_track([thumbs_of(frames, STEPS)])
    assert track.step.tolist() == list(STEPS)
    return track.words


@pytest.mark.parametrize("bars", [(0, 0), (18, 0), (0, 30)], ids=["none", "above", "beside"])
def test_video_words_do_not_depend_on_size_bars_and_contrast(bars: tuple[int, int]) -> None:
    words = words_of_frames(picture((144, 256)))
    other = (picture((96, 128)) * 0.8 + 12).astype(np.uint8)
    other = np.pad(other, ((0, 0), (bars[0], bars[0]), (bars[1], bars[1])), constant_values=8)
    assert distances(words, words_of_frames(other)).mean() < 12
    assert distances(words, words_of_frames(picture((96, 128), seed=1))).mean() > 22


def test_frames_of_one_color_have_no_words() -> None:
    for luma in (0, 16, 255):
        track, blank = video_track([thumbs_of(np.full((8, 64, 64), luma, np.uint8), STEPS)])
        assert len(track.words) == 0
        assert blank.tolist() == list(STEPS)
