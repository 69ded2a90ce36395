"""Files and arrays as inputs of a run, windows through its towers, and HEAR's API."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import reelshards as rs
from pipeline.excerpts import read_excerpts
from reelshards.board import hear
from reelshards.board.items import audio_item, video_item
from reelshards.board.pooling import PooledEncoder, unit_rows
from reelshards.board.videos import video_of_frames
from shards_spec.errors import InputError
from shards_spec.sample import decode_strip
from tests.support.films.media import Film, make_film
from trainer.runs.evaluate import ClipEncoder


@pytest.fixture(scope="module")
def clips(trained_run: Path) -> ClipEncoder:
    return rs.load(trained_run).clips


def noise(length: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


def test_the_vector_of_an_item_is_the_mean_over_its_windows(clips: ClipEncoder) -> None:
    size = clips.recipe.clip_samples
    samples = noise(2 * size + size // 2)
    pooled = PooledEncoder(clips)
    starts = (0, size // 4 * 3, size // 2 * 3)
    alone = pooled.audio([samples[start : start + size] for start in starts])
    together = pooled.audio([samples])
    np.testing.assert_allclose(together.features[0], alone.features.mean(axis=0), atol=1e-5)
    expected = unit_rows(alone.embeddings.mean(axis=0))
    np.testing.assert_allclose(together.embeddings[0], expected, atol=1e-5)


def test_items_of_unequal_lengths_are_independent_of_each_other(clips: ClipEncoder) -> None:
    # 0.1 s, about a clip, 5 minutes.
    rate_hz = clips.recipe.sample_rate_hz
    items = [noise(length, length) for length in (rate_hz // 10, rate_hz, 300 * rate_hz, 1)]
    pooled = PooledEncoder(clips, max_windows=20)
    together = pooled.audio(items)
    assert together.features.shape == (4, pooled.num_features["audio"])
    for number, samples in enumerate(items):
        alone = pooled.audio([samples])
        np.testing.assert_allclose(together.features[number], alone.features[0], atol=1e-4)
    assert pooled.audio([]).embeddings.shape == (0, 16)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 31, 77, 3), (9, 200, 33, 4), (50, 32, 32, 1)])
def test_videos_of_any_size(clips: ClipEncoder, shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    video = video_of_frames(frames, 25.0, Fraction(5))
    found = PooledEncoder(clips).video([video, video])
    assert found.embeddings.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(found.features[0], found.features[1], atol=1e-5)


def test_files_are_read_as_for_transfer(clips: ClipEncoder, tmp_path: Path) -> None:
    recipe = clips.recipe
    path = make_film(tmp_path / "film.mkv", Film(seconds=2.0, gop=10))
    found = read_excerpts(path, recipe, 1, video=True, audio=True)
    assert found.strips is not None
    data = path.read_bytes()
    # Names of bytes are chosen by others, and need not be there.
    names = ("a.mkv", None, "../..", "a/" + 300 * "b" + ".mkv")
    items = [{"path": str(path), "bytes": None}, *({"path": n, "bytes": data} for n in names)]
    for item in items:
        video = video_item(item, recipe, None)
        start = (video.num_steps - recipe.num_frames) // 2
        frames = video.read(start + np.arange(recipe.num_frames))
        expected = decode_strip(found.strips[0], recipe.num_frames)
        # The strip is a JPEG.
        assert np.abs(frames.astype(int) - expected).mean() < 6
        assert abs(len(audio_item(item, recipe)) - 2 * recipe.sample_rate_hz) < 500


def test_audio_items_of_all_forms_are_the_same(clips: ClipEncoder, tmp_path: Path) -> None:
    recipe, samples = clips.recipe, noise(16_000)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    array = audio_item({"array": samples.tolist(), "sampling_rate": 16_000}, recipe)
    file = audio_item({"bytes": None, "path": str(tmp_path / "a.wav")}, recipe)
    np.testing.assert_allclose(array, file, atol=1e-5)


@pytest.mark.parametrize("item", [None, {}, {"bytes": None, "path": None}, 3, "a.wav"])
def test_items_of_other_forms_are_refused(clips: ClipEncoder, item: object) -> None:
    with pytest.raises(InputError, match="audio as"):
        audio_item(item, clips.recipe)
    with pytest.raises(InputError, match="video"):
        video_item(item, clips.recipe, None)


def test_a_scene_of_hear_is_the_mean_over_its_windows(trained_run: Path) -> None:
    model = hear.load_model(str(trained_run))
    recipe = rs.load(trained_run).recipe
    assert model.sample_rate == 16_000 == 4 * recipe.sample_rate_hz
    audio = torch.from_numpy(np.stack([noise(3 * 16_000), noise(3 * 16_000, 1)]))
    found = hear.get_scene_embeddings(audio, model)
    assert (found.dtype, found.shape) == (torch.float32, (2, model.scene_embedding_size))
    items = [audio_item({"array": a.numpy(), "sampling_rate": 16_000}, recipe) for a in audio]
    expected = PooledEncoder(rs.load(trained_run).clips).audio(items).features
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_timestamps_of_hear_are_centers_of_windows(trained_run: Path) -> None:
    model = hear.load_model(str(trained_run), hop_ms=250)
    audio = torch.from_numpy(np.stack([noise(16_000), noise(16_000, 1)]))
    found, times = hear.get_timestamp_embeddings(audio, model)
    assert found.shape == (2, 5, model.timestamp_embedding_size)
    assert times.tolist() == [[0.0, 250.0, 500.0, 750.0, 1000.0]] * 2
    # Embeddings depend on the audio around their time only: 0.4 s in clips of the toy movies.
    later = audio.clone()
    later[:, 12_000:] = 0.1 * later[:, 12_000:].flip(1)
    changed = (hear.get_timestamp_embeddings(later, model)[0] - found).abs().amax(dim=(0, 2))
    half = rs.load(trained_run).recipe.clip_samples / 4_000 / 2
    expected = [750 - 1000 * half < time for time in times[0].tolist()]
    assert (changed > 1e-5).tolist() == expected


@pytest.mark.parametrize(
    ("shape", "hop_ms", "count"), [((1, 1), 50.0, 1), ((3, 800), 50.0, 2), ((1, 16_000), 10.0, 101)]
)
def test_timestamps_of_hear_for_any_length(
    trained_run: Path, shape: tuple[int, int], hop_ms: float, count: int
) -> None:
    model = hear.load_model(str(trained_run), hop_ms=hop_ms)
    found, times = hear.get_timestamp_embeddings(torch.rand(shape) - 0.5, model)
    assert found.shape[:2] == times.shape == (shape[0], count)
    assert bool(found.isfinite().all())


def test_unusable_audio_of_hear_is_refused(trained_run: Path) -> None:
    model = hear.load_model(str(trained_run))
    for audio, message in (
        (torch.zeros(16_000), "expected \\(sounds, samples\\)"),
        (torch.zeros(2, 0), "without a sample"),
        (torch.full((1, 100), torch.nan), "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            hear.get_scene_embeddings(audio, model)
        with pytest.raises(InputError, match=message):
            hear.get_timestamp_embeddings(audio, model)
    with pytest.raises(InputError, match="must be positive"):
        hear.load_model(str(trained_run), hop_ms=0)
    with pytest.raises(InputError):
        hear.load_model(str(trained_run / "none"))
