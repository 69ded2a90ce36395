"""Reading given clips once, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset, read_clips
from shards_spec.errors import FormatError
from shards_spec.schema.tables import clip_rows
from trainer.data.loader.config import StreamConfig
from trainer.data.stream.one_pass import read_all

pytestmark = pytest.mark.usefixtures("no_threads_left")

CONFIG = StreamConfig(frame_size=32, num_threads=2, reads_in_flight=3)


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def test_read_all_returns_rows_in_order(dataset: Dataset) -> None:
    rows = [*range(40, 10, -1), 3, 60]
    found = list(read_all(dataset, rows, CONFIG, batch_size=7))
    assert [len(batch.clip) for batch in found] == [7, 7, 7, 7, 4]
    assert [row for batch in found for row in batch.clip.tolist()] == rows
    table = clip_rows(dataset.clips)
    for batch in found:
        for slot, row in enumerate(batch.clip.tolist()):
            sample = read_clips(dataset.storage, [table[row]])[0]
            assert (batch.frames[slot].numpy() == sample.frames[:, :, 8:40]).all()
            assert f"movie-{int(batch.movie[slot]):03d}" == table[row].movie_id
    assert list(read_all(dataset, [], CONFIG)) == []


def test_read_all_skips_bad_clips(dataset: Dataset) -> None:
    rows = clip_rows(dataset.clips)
    for row in (rows[number] for number in (2, 9, 10, 11)):
        path = dataset.storage.local_path(row.shard)
        data = bytearray(path.read_bytes())
        data[row.tar_offset + 700] ^= 0xFF
        path.write_bytes(data)
    found = list(read_all(dataset, range(12), CONFIG, batch_size=3))
    assert [batch.clip.tolist() for batch in found] == [[0, 1], [3, 4, 5], [6, 7, 8]]
    assert [batch.step for batch in found] == [0, 1, 2]
    with pytest.raises(FormatError, match="max_bad_fraction"):
        list(read_all(dataset, range(12), StreamConfig(frame_size=32, max_bad_fraction=0.0)))


def test_an_abandoned_read_all_ends_its_threads(dataset: Dataset) -> None:
    parts = read_all(dataset, range(40), CONFIG, batch_size=2)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
