"""The Python API on a toy dataset: open, read, validate, batches, and what it rejects."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import reelshards as rs
from shards_spec import layout
from tests.support.launch.ranks import start_ranks


def test_a_dataset_has_tables_and_a_recipe(toy_data: rs.Dataset) -> None:
    assert toy_data.recipe.num_frames == 4
    assert toy_data.movies.num_rows == 7
    assert toy_data.clips.num_rows == 63
    assert {"clip_id", "start_ns", "crc32c"} <= set(toy_data.clips.column_names)


def test_a_clip_is_decoded(toy_data: rs.Dataset) -> None:
    clip = toy_data.clip("movie-003_000005")
    frames, logmel, row = clip
    assert clip.frames is frames
    assert (frames.shape, frames.dtype) == ((4, 32, 48, 3), np.uint8)
    assert logmel.shape == (16, toy_data.recipe.num_mel_frames)
    assert (row["clip_id"], row["clip_number"]) == ("movie-003_000005", 5)
    assert row["start_ns"] == toy_data.recipe.grid_ns(5 * 4)


def test_an_unknown_clip_is_an_input_error(toy_data: rs.Dataset) -> None:
    with pytest.raises(rs.InputError, match="has no clip 'nobody_000000'"):
        toy_data.clip("nobody_000000")


def test_iteration_is_by_movie(toy_data: rs.Dataset) -> None:
    movies = list(toy_data)
    assert [movie.movie_id for movie in movies] == [f"movie-{number:03d}" for number in range(6)]
    assert [movie.clips.num_rows for movie in movies] == [8, 9, 10, 11, 12, 13]
    for movie in movies:
        assert set(movie.clips["movie_id"].to_pylist()) == {movie.movie_id}
        assert movie.row["num_clips"] == movie.clips.num_rows


def test_iteration_over_an_empty_dataset(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path: Path
) -> None:
    make_toy_dataset(str(tmp_path), num_movies=0, num_failed=2)
    assert list(rs.open_dataset(tmp_path)) == []


def test_validate_reports_ok_or_errors(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path: Path
) -> None:
    data = make_toy_dataset(str(tmp_path), num_movies=2)
    assert rs.validate(tmp_path).ok
    assert rs.validate(data, quick=True).ok
    data.storage.delete(layout.shard_key("movie-001", 0))
    report = rs.validate(str(tmp_path))
    assert not report.ok
    assert report.check("structure").state == "failed"


def test_a_missing_dataset_is_an_input_error(tmp_path: Path) -> None:
    for call in (rs.open_dataset, rs.validate, rs.stream):
        with pytest.raises(rs.InputError, match=r"dataset\.json"):
            call(tmp_path)


def test_stream_yields_batches_by_movie(toy_data: rs.Dataset) -> None:
    with rs.stream(toy_data, movies_per_batch=2, clips_per_movie=4, seed=0) as stream:
        batch = next(stream)
    assert batch.frames.shape == (8, 4, 32, 32, 3)
    for column in (batch.group, batch.movie, batch.clip):
        assert not column.is_floating_point()
        assert column.shape == (8,)
    clip_ids = toy_data.clips["clip_id"].take(batch.clip.numpy()).to_pylist()
    movie_ids = toy_data.clips["movie_id"].take(batch.clip.numpy()).to_pylist()
    assert len(set(clip_ids)) == 8
    assert [name.rpartition("_")[0] for name in clip_ids] == movie_ids
    assert movie_ids[:4] == [movie_ids[0]] * 4
    assert movie_ids[4:] == [movie_ids[4]] * 4
    assert len(batch.group.unique()) == len(batch.movie.unique()) == len(set(movie_ids)) == 2


def test_stream_resumes_where_it_stopped(toy_data: rs.Dataset) -> None:
    def clips(num_batches: int, **settings: int) -> list[list[int]]:
        with rs.stream(toy_data, 2, 4, 7, **settings) as stream:
            return [batch.clip.tolist() for batch in itertools.islice(stream, num_batches)]

    whole = clips(6)
    assert clips(2) + clips(4, step=2, steps_done=2) == whole
    assert len({tuple(batch) for batch in whole}) == 6


def test_stream_in_a_loop_that_is_left_early(toy_data: rs.Dataset) -> None:
    code = f"""
import reelshards as rs
for batch in rs.stream({toy_data.storage.uri!r}, movies_per_batch=2, clips_per_movie=4):
    print(batch.step)
    if batch.step == 2:
        break
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=500, check=True
    )
    assert done.stdout.split() == ["0", "1", "2"]
    assert done.stderr == ""


@pytest.mark.slow
def test_stream_under_torchrun_shares_each_batch(toy_data: rs.Dataset) -> None:
    code = f"""
import json
import reelshards as rs
with rs.stream({toy_data.storage.uri!r}, movies_per_batch=4, clips_per_movie=4) as stream:
    print(json.dumps(next(stream).clip.tolist()))
"""
    ranks = start_ranks(["-c", code], 2, stdout=subprocess.PIPE)
    parts = [json.loads(rank.communicate(timeout=500)[0]) for rank in ranks]
    with rs.stream(toy_data, movies_per_batch=4, clips_per_movie=4) as stream:
        assert torch.tensor([*parts[0], *parts[1]]).tolist() == next(stream).clip.tolist()


def test_stream_rejects_what_the_dataset_cannot_provide(toy_data: rs.Dataset) -> None:
    with pytest.raises(rs.PolicyError, match="7"):
        rs.stream(toy_data, movies_per_batch=7, clips_per_movie=4)
    with pytest.raises(rs.InputError, match="clips_per_movie = 0"):
        rs.stream(toy_data, clips_per_movie=0)
    with pytest.raises(rs.InputError, match="frame_size = 128"):
        rs.stream(toy_data, 2, 4, config=rs.StreamConfig())


def test_preprocess_rejects_unknown_settings(tmp_path: Path) -> None:
    with pytest.raises(rs.InputError, match="unknown settings fpss"):
        rs.preprocess(tmp_path, tmp_path / "out", fpss=5)
    with pytest.raises(rs.InputError, match=r"self\.fps = -1"):
        rs.preprocess(tmp_path, tmp_path / "out", fps=-1)


def test_preprocess_rejects_an_unusable_corpus(tmp_path: Path) -> None:
    with pytest.raises(rs.ReelshardsError, match="nothing-here"):
        rs.preprocess(tmp_path / "nothing-here", tmp_path / "out")


def test_plan_report_counts_an_epoch(toy_data: rs.Dataset) -> None:
    policy = rs.BatchPolicy(movies_per_batch=2, clips_per_movie=4)
    report = rs.plan_report(toy_data, policy)
    assert report.num_eligible == 63
    assert report.num_used == 8 * report.num_steps
    assert report.rho == pytest.approx(3 / 7)


def test_stream_takes_what_training_takes(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path: Path
) -> None:
    shows = make_toy_dataset(
        str(tmp_path / "a"), num_movies=6, clips_per_movie=12, movies_per_group=3
    )
    settings = {"group_by": "group", "episodes_per_group": 2, "joined_clips": 2}
    with rs.stream(shows, 2, 3, frame_size=16, num_processes=0, **settings) as stream:
        batch = next(stream)
        assert stream.dataset is shows
    assert batch.frames.shape == (12, 8, 16, 16, 3)
    assert len(batch.movie.unique()) == 4
    assert len(batch.group.unique()) == 2
    with pytest.raises(rs.InputError, match="unknown settings movie_per_batch"):
        rs.stream(shows, movie_per_batch=2)


def test_windows_of_a_stream_are_those_of_training(toy_data: rs.Dataset) -> None:
    from trainer.runs.learning.augment import Dice
    from trainer.runs.learning.window import windows
    from trainer.settings import AugmentConfig

    with rs.stream(toy_data, 2, 4, 5, num_processes=0) as stream:
        whole = [next(stream) for _ in range(2)]
    with rs.stream(toy_data, 2, 4, 5, num_processes=0, window=0.5) as stream:
        cut = [next(stream) for _ in range(2)]
    config = rs.TrainConfig(seed=5, augment=AugmentConfig(window=0.5))
    for batch, part in zip(whole, cut, strict=True):
        dice = Dice(5, batch.epoch, batch.clip)
        frames, logmel = windows(batch.frames, batch.logmel, dice, config)
        assert torch.equal(part.frames, frames)
        assert torch.equal(part.logmel, logmel)
        start = (part.start_ns - batch.start_ns) * toy_data.recipe.fps / 1e9
        for clip, first in enumerate(start.round().int().tolist()):
            assert torch.equal(part.frames[clip, 0], batch.frames[clip, first])
    with pytest.raises(rs.InputError, match=r"window = 1\.5"):
        rs.stream(toy_data, 2, 4, window=1.5)


def test_stream_and_plan_of_two_datasets(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path: Path
) -> None:
    pair = [
        make_toy_dataset(str(tmp_path / name), num_movies=5, clips_per_movie=8) for name in "ab"
    ]
    with rs.stream(pair, 3, 4, data_weights=(2, 1), num_processes=0) as stream:
        batch = next(stream)
        clips = stream.dataset.clips
    names = {clips["movie_id"][row].as_py() for row in batch.clip.tolist()}
    assert sorted(name[:2] for name in names) == ["1:", "1:", "2:"]
    uris = [dataset.storage.uri for dataset in pair]
    policy = rs.BatchPolicy(movies_per_batch=3, clips_per_movie=4, data_weights=(2, 1))
    assert len(rs.plan_report(uris, policy).datasets) == 2
