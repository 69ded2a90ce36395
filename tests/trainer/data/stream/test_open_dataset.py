"""Opening a dataset with few columns: the same index, plan and errors as with all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.layout import CLIPS_PARQUET
from shards_spec.schema.tables import CLIPS_SCHEMA
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.open_dataset import open_for_training

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"group_by": "group"},
        {"where": "movie_id != 'movie-001' and luma_mean > 1"},
        {"where": "movie_id in ('movie-000', 'movie-002') or shard == 'x'"},
        {"where": "clip_number > 3", "heldout_fraction": 0.3, "split": "train"},
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_index_and_plan_equal_those_of_the_full_table(
    make_toy_dataset: MakeDataset,
    tmp_path: Path,
    s3_bucket: str,
    changes: dict[str, str],
    remote: bool,
) -> None:
    uri = f"{s3_bucket}/data" if remote else str(tmp_path)
    make_toy_dataset(uri, num_movies=6, clips_per_movie=12, movies_per_group=2, shard_bytes=40_000)
    policy = dataclasses.replace(POLICY, **changes)
    whole, lean = open_dataset(uri), open_for_training(uri, policy)
    assert lean.fingerprint == whole.fingerprint
    assert lean.recipe == whole.recipe
    assert lean.clips.num_columns < whole.clips.num_columns
    left, right = (ClipIndex.from_dataset(dataset, policy) for dataset in (whole, lean))
    for field in dataclasses.fields(ClipIndex):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, np.ndarray):
            assert (one == other).all(), field.name
        else:
            assert one == other, field.name
    plans = [plan_epoch(index, policy, 0, 1).clips for index in (left, right)]
    assert (plans[0] == plans[1]).all()


def test_a_table_without_a_column_is_reported(
    make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_toy_dataset(str(tmp_path), num_movies=2, clips_per_movie=4)
    path = tmp_path / CLIPS_PARQUET
    table = pq.read_table(path)
    for name in CLIPS_SCHEMA.names:
        pq.write_table(table.drop_columns([name]), path)
        with pytest.raises(FormatError, match=f"violates the schema: {name}: missing"):
            open_for_training(data.storage.uri, POLICY)


def test_an_unknown_column_is_reported(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    make_toy_dataset(str(tmp_path), num_movies=2)
    policy = dataclasses.replace(POLICY, where="motoin > 1")
    with pytest.raises(InputError, match="'motoin' is not a column of the index"):
        ClipIndex.from_dataset(open_for_training(str(tmp_path), policy), policy)


def test_corrupt_indexes_are_rejected(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    make_toy_dataset(str(tmp_path), num_movies=2)
    path = tmp_path / CLIPS_PARQUET
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(FormatError, match="not readable Parquet"):
        open_for_training(str(tmp_path), POLICY)
    path.unlink()
    # The message names the index, as in `open_dataset`.
    for opened in (open_dataset, lambda uri: open_for_training(uri, POLICY)):
        with pytest.raises(Exception, match=r"clips\.parquet.*does not exist"):
            opened(str(tmp_path))
