"""Neighboring clips of a movie as one longer clip: which are joined, frames, audio, crop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pipeline.audio.features import log_mel
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from tests.support.datasets.clip_tables import SECOND, assert_sound, clips_table, index_of
from trainer.config import TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.randomness import draws
from trainer.data.stream import ClipStream, read_all
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.settings import AugmentConfig
from trainer.train import train

CONFIG = StreamConfig(frame_size=32, num_processes=0, num_threads=2, crop="center")
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=3, joined_clips=2)


def test_clips_that_follow_each_other_are_joined() -> None:
    # Two movies of 5 clips, the first with a gap after its third clip.
    table = clips_table([5, 5])
    at = [row for row, start in enumerate(table["start_ns"].to_pylist()) if start >= 3 * SECOND]
    starts, ends = (np.array(table[name].to_numpy()) for name in ("start_ns", "end_ns"))
    moved = [row for row in at if table["movie_id"][row].as_py() == "m0000"]
    starts[moved] += 7
    ends[moved] += 7
    table = table.set_column(table.schema.get_field_index("start_ns"), "start_ns", [starts])
    table = table.set_column(table.schema.get_field_index("end_ns"), "end_ns", [ends])
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=1, joined_clips=3)
    index = index_of(table, policy)
    names = table["clip_id"].to_pylist()
    found = [[names[row] for row in rows] for rows in index.joined.tolist()]
    assert sorted(found) == [
        [f"{movie}_{first + n:06d}" for n in range(3)]
        for movie, first in (("m0000", 0), ("m0001", 0), ("m0001", 1), ("m0001", 2))
    ]
    assert (np.diff(index.row) > 0).all()
    assert (index.end_ns - index.start_ns == 3 * SECOND).all()


def test_plans_of_joined_clips_keep_their_guarantees() -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4, joined_clips=3, reads_per_movie=2)
    index = index_of(clips_table([30, 40, 50]), policy)
    for epoch in range(3):
        plan = plan_epoch(index, policy, 0, epoch)
        assert_sound(plan, index, policy)
        assert index.joined_rows(plan.clips).shape == (plan.num_steps, 2, 12)


def test_one_clip_each_is_what_it_was() -> None:
    table = clips_table([30, 40, 50])
    index = index_of(table, BatchPolicy())
    assert np.array_equal(index.joined, index.row[:, None])
    assert np.array_equal(index.end_ns, table["end_ns"].to_numpy())


def test_movies_without_neighbors_are_named() -> None:
    overlapping = clips_table([9, 9], length_ns=2 * SECOND)
    with pytest.raises(PolicyError, match="followed by 1 others without a gap"):
        index_of(overlapping, POLICY)
    with pytest.raises(InputError, match="joined_clips = 0"):
        BatchPolicy(joined_clips=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window_ms": 40.0, "hop_ms": 5.0, "n_mels": 20},
        {"window_ms": 10.0, "hop_ms": 10.0, "sample_rate_hz": 8_000, "num_frames": 8},
    ],
)
def test_log_mels_differ_from_one_pass_only_in_the_last_columns_before_a_seam(
    settings: dict[str, object], toy: ModuleType
) -> None:
    """A stored clip's audio ends with the clip: windows that reach beyond it see silence."""
    recipe = toy.toy_recipe(**settings)
    width = 3
    noise = np.random.default_rng(0).normal(0.0, 0.1, width * recipe.clip_samples)
    samples = noise.astype(np.float32)
    stored = [log_mel(part, recipe) for part in np.split(samples, width)]
    joined = np.concatenate(stored, axis=1).astype(np.float32)
    frames = recipe.num_frames * width
    longer = log_mel(samples, dataclasses.replace(recipe, num_frames=frames)).astype(np.float32)
    # The window is in the middle of the FFT's samples.
    end = (recipe.n_fft - recipe.window_samples) // 2 + recipe.window_samples
    num_cut = -(-end // recipe.hop_samples) - 1
    column = np.arange(joined.shape[1])
    from_seam = recipe.num_mel_frames - column % recipe.num_mel_frames
    differs = np.abs(joined - longer).max(axis=0) > 2e-2
    assert not differs[from_seam > num_cut].any()
    assert not differs[column >= len(column) - num_cut].any(), "after the last, both see silence"
    assert differs.sum() <= 2 * num_cut
    assert differs.any(), "this is what the documentation says"


@pytest.fixture(scope="module")
def data(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    folder = tmp_path_factory.mktemp("joined")
    return make_toy_dataset(str(folder / "data"), num_movies=3, clips_per_movie=12)


def neighbors(dataset: Dataset, rows: list[int]) -> list[int]:
    """Each row and the row of the clip that follows it."""
    ids = dataset.clips["clip_id"].to_pylist()
    numbers = dataset.clips["clip_number"].to_pylist()
    movies = dataset.clips["movie_id"].to_pylist()
    after = [ids.index(f"{movies[row]}_{numbers[row] + 1:06d}") for row in rows]
    return [row for pair in zip(rows, after, strict=True) for row in pair]


@pytest.mark.parametrize("num_processes", [0, 1])
def test_frames_and_mels_are_those_of_the_clips_in_order(num_processes: int, data: Dataset) -> None:
    config = dataclasses.replace(CONFIG, num_processes=num_processes)
    with ClipStream(data, POLICY, config, seed=3) as stream:
        for _ in range(3):
            batch = next(stream)
            assert batch.frames.shape == (6, 8, 32, 32, 3)
            rows = neighbors(data, batch.clip.tolist())
            (single,) = read_all(data, rows, CONFIG)
            assert torch.equal(batch.frames.flatten(0, 1), single.frames.flatten(0, 1))
            first, second = single.logmel[::2], single.logmel[1::2]
            assert torch.equal(batch.logmel, torch.cat((first, second), dim=2))
            assert torch.equal(batch.start_ns, single.start_ns[::2])


def test_joined_clips_have_one_crop(data: Dataset) -> None:
    config = dataclasses.replace(CONFIG, crop="random", frame_size=16)
    with ClipStream(data, POLICY, config, seed=3) as stream:
        batch = next(stream)
    rows = neighbors(data, batch.clip.tolist())
    ids = [data.clips["clip_id"][row].as_py() for row in rows]
    for number, (first, second) in enumerate(zip(ids[::2], ids[1::2], strict=True)):
        # Toy frames have 32 x 48 pixels.
        top, left = draws((17, 33), 3, 0, "crop", first)
        for part, clip_id in enumerate((first, second)):
            crop = data.clip(clip_id).frames[:, top : top + 16, left : left + 16]
            found = batch.frames[number, 4 * part : 4 * part + 4].numpy()
            assert np.array_equal(found, crop)


def test_all_of_a_joined_clip_is_replaced_if_one_is_bad(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = make_toy_dataset(str(tmp_path / "data"), num_movies=2, clips_per_movie=14)
    config = dataclasses.replace(CONFIG, max_bad_fraction=1.0)
    with ClipStream(dataset, POLICY, config, seed=1) as stream:
        sound = next(stream).clip.tolist()
    bad = neighbors(dataset, sound[:1])[1]
    shard, offset = (dataset.clips[name][bad].as_py() for name in ("shard", "tar_offset"))
    path = dataset.storage.local_path(shard)
    damaged = bytearray(path.read_bytes())
    damaged[offset + 700] ^= 0xFF
    path.write_bytes(damaged)
    with ClipStream(dataset, POLICY, config, seed=1) as stream:
        batch = next(stream)
        assert stream.stats().bad_clips
    assert batch.clip.tolist()[1:] == sound[1:]
    assert batch.clip[0] != sound[0]
    rows = neighbors(dataset, batch.clip.tolist())
    assert bad not in rows
    (single,) = read_all(dataset, rows, CONFIG)
    assert torch.equal(batch.frames.flatten(0, 1), single.frames.flatten(0, 1))


@pytest.mark.slow
def test_a_run_with_joined_clips_resumes_exactly(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        tiny_config,
        policy=dataclasses.replace(tiny_config.policy, joined_clips=2, clips_per_movie=2),
        augment=AugmentConfig(window=0.5),
        steps=4,
    )
    uri = toy_data.storage.uri
    assert train(uri, tmp_path / "straight", config).retrieval is not None
    train(uri, tmp_path / "resumed", dataclasses.replace(config, stop_at_step=2))
    train(uri, tmp_path / "resumed", config)
    straight, resumed = (newest_checkpoint(tmp_path / run) for run in ("straight", "resumed"))
    assert straight is not None
    assert resumed is not None
    assert all(torch.equal(v, resumed.model[name]) for name, v in straight.model.items())
