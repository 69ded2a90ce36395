"""Bad clips and bad stores: substitutes, retries, or one clear error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import AccessDeniedError, FormatError, ObjectNotFoundError, StorageError
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage
from tests.support.films.streams import (
    CONFIG,
    POLICY,
    MakeDataset,
    assert_equal,
    batches,
    corrupt,
    write,
)
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.loader import CHECKSUM_ATTEMPTS
from trainer.data.stream.stream import ClipStream

pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.fixture(scope="module")
def dataset(make_toy_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    return write(make_toy_dataset, str(tmp_path_factory.mktemp("stream")))


def test_a_corrupted_clip_is_replaced_by_another_of_its_movie(
    make_toy_dataset: MakeDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    healthy = batches(dataset, 12)
    bad_row = int(healthy[3].clip[5])
    corrupt(dataset, dataset.clips["clip_id"][bad_row].as_py())
    with (
        caplog.at_level(logging.WARNING, "trainer.data.stream.bad_clips"),
        ClipStream(dataset, POLICY, CONFIG, seed=5) as stream,
    ):
        repaired = [next(stream) for _ in range(12)]
        stats = stream.stats()
    assert stats.bad_clips == {"checksum": sum(bad_row in batch.clip for batch in healthy)}
    assert stats.num_retries >= CHECKSUM_ATTEMPTS - 1
    assert len(caplog.records) == 1
    assert dataset.clips["clip_id"][bad_row].as_py() in caplog.text
    assert (repaired[3].clip != healthy[3].clip).tolist() == [slot == 5 for slot in range(8)]
    assert torch.equal(repaired[3].movie, healthy[3].movie)
    assert len(set(repaired[3].clip.tolist())) == 8
    again = batches(dataset, 12, config=StreamConfig(num_processes=0, frame_size=32, num_threads=7))
    assert_equal(repaired, again)


def test_too_many_bad_clips_stop_the_run(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    for row in clip_rows(dataset.clips)[::2]:
        corrupt(dataset, row.clip_id)
    with pytest.raises(FormatError, match=r"more than max_bad_fraction = 0\.01.*validate"):
        batches(dataset, 50)
    strict = StreamConfig(num_processes=0, frame_size=32, max_bad_fraction=0.0)
    with pytest.raises(FormatError, match="1 of the first"):
        batches(dataset, 50, config=strict)


def test_a_movie_without_any_readable_clip_is_named(
    make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=2, clips_per_movie=4)
    corrupt(dataset, "movie-001_000002")
    with pytest.raises(FormatError, match=r"movie-001_000002.*movie_id != 'movie-001'"):
        batches(dataset, 1)


def test_a_missing_shard_is_one_clear_error(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    shard = dataset.clips["shard"][30].as_py()
    dataset.storage.local_path(shard).unlink()
    with pytest.raises(ObjectNotFoundError, match=rf"{shard}.*does not exist.*bytes \d+ to"):
        batches(dataset, 50)


class FailingStorage(Storage):
    """Refuses the first `num_failures` reads of shards."""

    def __init__(self, uri: str, error: StorageError, num_failures: int) -> None:
        super().__init__(uri)
        self.error, self.num_failures = error, num_failures
        self.lock = threading.Lock()

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        with self.lock:
            self.num_failures -= 1
            if self.num_failures >= 0:
                raise self.error
        yield from super().read_into(key, start, target)


def test_a_store_that_recovers_only_causes_a_delay(dataset: Dataset) -> None:
    storage = FailingStorage(dataset.storage.uri, StorageError("no route"), 3)
    config = StreamConfig(num_processes=0, frame_size=32, deadline_seconds=20.0)
    with ClipStream(open_dataset(storage), POLICY, config, seed=5) as stream:
        found = [next(stream) for _ in range(8)]
        assert stream.stats().num_retries == 3
    assert_equal(batches(dataset, 8), found)


@pytest.mark.parametrize("kind", [StorageError, AccessDeniedError])
def test_an_unreachable_store_stops_the_run_after_the_deadline(
    dataset: Dataset, kind: type[StorageError]
) -> None:
    storage = open_dataset(FailingStorage(dataset.storage.uri, kind("no answer"), 10**9))
    with pytest.raises(kind, match=r"no answer \(bytes \d+ to \d+, \d attempts in 0\.\d s\)"):
        batches(storage, 1)


def test_bytes_damaged_in_transit_are_reread(dataset: Dataset) -> None:
    class Noisy(Storage):
        reads = 0

        def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
            yield from super().read_into(key, start, target)
            self.reads += 1
            if self.reads == 2:
                target[700] ^= 0xFF

    noisy = open_dataset(Noisy(dataset.storage.uri))
    config = StreamConfig(num_processes=0, frame_size=32, reads_in_flight=1, num_threads=1)
    assert_equal(batches(dataset, 8), batches(noisy, 8, config=config))
