"""Encoders of a run and of its export: unit rows, equal results, checked inputs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import reelshards as rs
from pipeline.audio.features import log_mel
from trainer.runs.config_file import saved_config
from trainer.runs.evaluate import export


@pytest.fixture(scope="module")
def encoder(trained_run: Path) -> rs.Encoder:
    return rs.load(trained_run)


def clips(encoder: rs.Encoder, num_clips: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Random frames and waveforms that fit the recipe."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (num_clips, 4, 32, 48, 3), dtype=np.uint8)
    waveform = rng.normal(0, 0.1, (num_clips, encoder.recipe.clip_samples))
    return frames, waveform.astype(np.float32)


def embed(encoder: rs.Encoder, num_clips: int = 5) -> tuple[NDArray[np.float32], ...]:
    frames, waveform = clips(encoder, num_clips)
    return encoder.embed(frames=frames, waveform=waveform, sample_rate_hz=4_000)


def test_embeddings_are_unit_rows(encoder: rs.Encoder) -> None:
    for embedded in embed(encoder, 40):
        assert (embedded.shape, embedded.dtype) == ((40, 16), np.float32)
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1.0, atol=1e-5)


def test_clips_are_independent_of_each_other(encoder: rs.Encoder) -> None:
    frames, waveform = clips(encoder, 3)
    one = encoder.embed(frames=frames[1:2], waveform=waveform[1:2], sample_rate_hz=4_000)
    for alone, together in zip(one, embed(encoder, 3), strict=True):
        np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


def test_an_encoder_is_shown_in_one_line(encoder: rs.Encoder) -> None:
    assert repr(encoder) == (
        "Encoder(video='small', audio='small', embedding_size=16, device='cpu')"
    )


def test_no_clips_yield_no_rows(encoder: rs.Encoder) -> None:
    assert [part.shape for part in embed(encoder, 0)] == [(0, 16), (0, 16)]


def test_an_export_embeds_like_its_run(
    encoder: rs.Encoder, trained_run: Path, tmp_path: Path
) -> None:
    export(trained_run, tmp_path)
    for ours, theirs in zip(embed(encoder), embed(rs.load(tmp_path)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_dataset_embeds_like_its_decoded_clips(encoder: rs.Encoder, toy_data: rs.Dataset) -> None:
    table = encoder.embed_clips(toy_data, ["movie-004_000003", "movie-001_000000"])
    assert table["clip_id"].to_pylist() == ["movie-004_000003", "movie-001_000000"]
    for row in table.to_pylist():
        clip = toy_data.clip(row["clip_id"])
        assert row["start_ns"] == clip.row["start_ns"]
        video, audio = encoder.clips.embed(clip.frames[None], clip.logmel[None])
        np.testing.assert_allclose(row["video"], video[0], atol=1e-5)
        np.testing.assert_allclose(row["audio"], audio[0], atol=1e-5)


def test_a_whole_dataset_is_embedded(encoder: rs.Encoder, toy_data: rs.Dataset) -> None:
    table = encoder.embed_clips(toy_data)
    assert table["clip_id"].to_pylist() == toy_data.clips["clip_id"].to_pylist()


def test_audio_at_another_rate_is_resampled(encoder: rs.Encoder) -> None:
    recipe = encoder.recipe
    seconds = recipe.clip_samples / recipe.sample_rate_hz
    embedded = []
    for rate_hz in (recipe.sample_rate_hz, 16_000, 44_100):
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[None]
        frames, _ = clips(encoder, 1)
        embedded.append(encoder.embed(frames=frames, waveform=tone, sample_rate_hz=rate_hz)[1])
    for other in embedded[1:]:
        assert float((embedded[0] @ other.T)[0, 0]) > 0.99


def test_large_frames_are_resized(encoder: rs.Encoder) -> None:
    _, waveform = clips(encoder, 2)
    smooth = np.broadcast_to(
        np.linspace(0, 255, 48)[None, None, None, :, None], (2, 4, 32, 48, 3)
    ).astype(np.uint8)
    large = smooth.repeat(3, axis=2).repeat(3, axis=3)
    small_video, _ = encoder.embed(frames=smooth, waveform=waveform, sample_rate_hz=4_000)
    large_video, _ = encoder.embed(frames=large, waveform=waveform, sample_rate_hz=4_000)
    assert float(small_video[0] @ large_video[0]) > 0.99


def test_embed_matches_the_stored_clip_of_equal_samples(encoder: rs.Encoder) -> None:
    frames, waveform = clips(encoder, 2)
    logmel = np.stack([log_mel(samples, encoder.recipe) for samples in waveform])
    for ours, theirs in zip(embed(encoder, 2), encoder.clips.embed(frames, logmel), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": np.zeros((2, 3, 32, 48, 3), np.uint8)}, r"expected \(N, 4, height"),
        ({"frames": np.zeros((2, 4, 32, 48, 3), np.float32)}, "float32"),
        ({"frames": np.zeros((2, 4, 3, 32, 48), np.uint8)}, r"frames are \(2, 4, 3, 32, 48\)"),
        ({"frames": np.zeros((3, 4, 32, 48, 3), np.uint8)}, "3 clips of frames, but 2 of audio"),
        ({"waveform": np.zeros((2, 1000), np.float32)}, r"0\.250 s long, clips are 0\.800 s"),
        ({"waveform": np.zeros((2, 2, 3200), np.float32)}, "waveform is"),
        ({"sample_rate_hz": 8_000}, r"0\.400 s long, clips are 0\.800 s"),
        ({"sample_rate_hz": 0}, "sample_rate_hz = 0"),
    ],
)
def test_embed_rejects_what_does_not_fit(
    encoder: rs.Encoder, change: dict[str, object], message: str
) -> None:
    frames, waveform = clips(encoder, 2)
    arguments = {"frames": frames, "waveform": waveform, "sample_rate_hz": 4_000, **change}
    with pytest.raises(rs.InputError, match=message):
        encoder.embed(**arguments)  # type: ignore[arg-type]


def test_the_device_can_be_chosen(trained_run: Path) -> None:
    encoder = rs.load(trained_run, device="cpu")
    assert {weight.device.type for weight in encoder.model.parameters()} == {"cpu"}
    assert not encoder.model.training
    for device in ("cuda:99", "abacus"):
        with pytest.raises(rs.InputError, match=f"device '{device}' cannot be used"):
            rs.load(trained_run, device=device)


def test_load_rejects_other_folders(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(rs.InputError, match=r"config\.json"):
        rs.load(tmp_path)
    export(trained_run, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(rs.InputError, match="is not a usable export"):
        rs.load(tmp_path)


def test_evaluate_reports_the_runs_steps(trained_run: Path, toy_data: rs.Dataset) -> None:
    evaluation = rs.evaluate(toy_data, trained_run)
    assert evaluation.steps_done == 6
    assert set(evaluation.lifts()) == {"video_to_audio", "audio_to_video"}


def test_train_resumes_in_the_same_folder(
    trained_run: Path, toy_data: rs.Dataset, tmp_path: Path
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    config = dataclasses.replace(saved_config(run), stop_at_step=8)
    assert rs.train(toy_data, run, config).steps_done == 8
    with pytest.raises(rs.InputError, match="other settings"):
        rs.train(toy_data, run, dataclasses.replace(config, seed=1))
    with pytest.raises(rs.InputError, match="no recipe 'big'"):
        rs.train(toy_data, run, "big")
