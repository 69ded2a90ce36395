"""Plain webdataset reads the shards without any of our code."""

import gc
import io
import json

import numpy as np
import pytest
import webdataset

from shards_spec.schema.tables import clip_rows


@pytest.fixture
def data(make_toy_dataset, tmp_path):
    return make_toy_dataset(
        str(tmp_path / "d"), num_movies=1, clips_per_movie=20, shard_bytes=40_000
    )


# webdataset leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_brace_notation(data):
    rows = clip_rows(data.clips)
    last = len({row.shard for row in rows}) - 1
    assert last > 0
    folder = data.storage.local_path("shards/movie-000")
    url = f"{folder}/movie-000-{{00000..{last:05d}}}.tar"
    samples = list(webdataset.WebDataset(url, shardshuffle=False))
    gc.collect()
    assert [sample["__key__"] for sample in samples] == [row.clip_id for row in rows]
    for sample, row in zip(samples, rows, strict=True):
        assert set(sample) >= {"frames.jpg", "logmel.npy", "json"}
        assert json.loads(sample["json"])["start_ns"] == row.start_ns
        assert np.load(io.BytesIO(sample["logmel.npy"])).shape == (16, 80)
        assert sample["frames.jpg"][:2] == b"\xff\xd8"


def test_a_range_of_consecutive_clips_is_a_tar_stream(data):
    rows = [row for row in clip_rows(data.clips) if row.shard.endswith("00000.tar")][1:4]
    start, end = rows[0].tar_offset, rows[-1].tar_offset + rows[-1].tar_bytes
    piece = data.storage.local_path(rows[0].shard).read_bytes()[start:end]
    files = webdataset.tariterators.tar_file_iterator(io.BytesIO(piece))
    keys = [file["fname"].partition(".")[0] for file in files]
    assert keys == [row.clip_id for row in rows for _ in range(3)]
