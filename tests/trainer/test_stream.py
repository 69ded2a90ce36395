"""The stream: the right clips, the same batches everywhere, bad clips, errors, clean ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from shards_spec.errors import (
    AccessDeniedError,
    FormatError,
    InputError,
    ObjectNotFoundError,
    PolicyError,
    StorageError,
)
from shards_spec.reader import Dataset, open_dataset, read_clips
from shards_spec.schema import clip_rows
from shards_spec.storage import Storage
from trainer.batch import Batch
from trainer.clip_index import ClipIndex
from trainer.loader import CHECKSUM_TRIES
from trainer.plan import plan_epoch
from trainer.policy import BatchPolicy
from trainer.stream import ClipStream, StreamConfig

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
CONFIG = StreamConfig(
    frame_size=32, num_processes=0, num_threads=2, reads_in_flight=3, deadline_seconds=0.3
)
CLIPS_PER_MOVIE = (8, 21, 30, 12)


@pytest.fixture(scope="module")
def dataset(make_toy_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    return write(make_toy_dataset, str(tmp_path_factory.mktemp("stream")))


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    left = [thread.name for thread in threading.enumerate() if "reelshards" in thread.name]
    assert not left, "every test ends its threads"


def write(make_toy_dataset: MakeDataset, uri: str) -> Dataset:
    return make_toy_dataset(uri, num_movies=4, clips_per_movie=CLIPS_PER_MOVIE, shard_bytes=40_000)


def batches(
    dataset: Dataset,
    num_batches: int,
    policy: BatchPolicy = POLICY,
    config: StreamConfig = CONFIG,
    *,
    rank: int = 0,
    world_size: int = 1,
    epoch: int = 0,
    step: int = 0,
) -> list[Batch]:
    index = ClipIndex.from_dataset(dataset, policy)
    with ClipStream(
        dataset,
        index,
        policy,
        config,
        seed=5,
        rank=rank,
        world_size=world_size,
        epoch=epoch,
        step=step,
    ) as stream:
        return [next(stream) for _ in range(num_batches)]


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert (one.epoch, one.step) == (other.epoch, other.step)
        for name in ("clip", "movie", "start_ns", "frames", "logmel"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def corrupt(dataset: Dataset, clip_id: str, offset: int = 700) -> None:
    """Flip a byte of a clip in its shard."""
    row = next(row for row in clip_rows(dataset.clips) if row.clip_id == clip_id)
    path = dataset.storage.local_path(row.shard)
    data = bytearray(path.read_bytes())
    data[row.tar_offset + offset] ^= 0xFF
    path.write_bytes(data)


def test_batches_are_what_direct_reads_give(dataset: Dataset) -> None:
    rows = clip_rows(dataset.clips)
    index = ClipIndex.from_dataset(dataset, POLICY)
    config = StreamConfig(num_processes=0, frame_size=32, crop="center")
    for batch in batches(dataset, index.num_eligible // 8, config=config):
        plan = plan_epoch(index, POLICY, 5, batch.epoch)
        assert batch.clip.tolist() == plan.clips[batch.step].ravel().tolist()
        for slot, row in enumerate(rows[clip] for clip in batch.clip.tolist()):
            sample = read_clips(dataset.storage, [row])[0]
            assert (batch.frames[slot].numpy() == sample.frames[:, :, 8:40]).all()
            assert (batch.logmel[slot].numpy() == sample.logmel).all()
            assert int(batch.start_ns[slot]) == row.start_ns
            assert index.group_names[int(batch.movie[slot])] == row.movie_id


def test_random_crops_differ_by_clip_and_epoch_only(dataset: Dataset) -> None:
    config = StreamConfig(num_processes=0, frame_size=16)
    first, second = (batches(dataset, 30, config=config) for _ in range(2))
    assert_equal(first, second)
    center = batches(
        dataset, 30, config=StreamConfig(num_processes=0, frame_size=16, crop="center")
    )
    same = [torch.equal(one.frames, other.frames) for one, other in zip(first, center, strict=True)]
    assert not any(same)


def test_local_and_s3_give_identical_batches(
    dataset: Dataset, make_toy_dataset: MakeDataset, s3_bucket: str
) -> None:
    remote = write(make_toy_dataset, f"{s3_bucket}/corpus")
    assert_equal(batches(dataset, 20), batches(remote, 20))


@pytest.mark.parametrize(
    "config",
    [
        StreamConfig(
            num_processes=0, frame_size=32, num_threads=1, reads_in_flight=1, prefetch_batches=1
        ),
        StreamConfig(
            num_processes=0, frame_size=32, num_threads=8, reads_in_flight=32, prefetch_batches=16
        ),
        StreamConfig(num_processes=0, frame_size=32, prefetch_bytes=0, max_hole_bytes=0),
    ],
)
def test_threads_and_prefetch_change_nothing(dataset: Dataset, config: StreamConfig) -> None:
    assert_equal(batches(dataset, 25), batches(dataset, 25, config=config))


def test_a_stream_that_begins_in_the_middle_is_the_tail_of_a_straight_one(
    dataset: Dataset,
) -> None:
    straight = batches(dataset, 24)
    for start in (1, 7, 23):
        place = straight[start]
        tail = batches(dataset, 24 - start, epoch=place.epoch, step=place.step)
        assert_equal(straight[start:], tail)
    assert straight[-1].epoch >= 2


def test_state_names_the_next_batch(dataset: Dataset) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    with ClipStream(dataset, index, POLICY, CONFIG, seed=5) as stream:
        steps = stream.num_steps_per_epoch
        for _ in range(steps):
            next(stream)
        state = stream.state()
        after = next(stream)
    assert (state.epoch, state.step, state.seed) == (0, steps, 5)
    assert state.index_fingerprint == dataset.fingerprint
    assert_equal(batches(dataset, 1, epoch=state.epoch, step=state.step), [after])
    assert (after.epoch, after.step) == (1, 0)


def test_ranks_together_give_the_global_batch(dataset: Dataset) -> None:
    whole = batches(dataset, 12)
    parts = [batches(dataset, 12, rank=rank, world_size=2) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for name in ("clip", "movie", "frames", "logmel"):
            joined = torch.cat([getattr(share, name) for share in shares])
            assert torch.equal(getattr(batch, name), joined)


def test_impossible_arguments_are_refused(dataset: Dataset) -> None:
    with pytest.raises(PolicyError, match="multiple of their number"):
        batches(dataset, 1, rank=0, world_size=3)
    with pytest.raises(InputError, match="short side of 32 pixels"):
        batches(dataset, 1, config=StreamConfig(num_processes=0, frame_size=48))
    with pytest.raises(InputError, match="no step 99 in epoch 0"):
        batches(dataset, 1, step=99)
    with pytest.raises(InputError, match="num_threads"):
        StreamConfig(num_threads=0)
    with pytest.raises(InputError, match="max_bad_fraction"):
        StreamConfig(max_bad_fraction=2.0)


def test_a_corrupted_clip_is_replaced_by_another_of_its_movie(
    make_toy_dataset: MakeDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    sound = batches(dataset, 12)
    bad_row = int(sound[3].clip[5])
    corrupt(dataset, dataset.clips["clip_id"][bad_row].as_py())
    index = ClipIndex.from_dataset(dataset, POLICY)
    with (
        caplog.at_level(logging.WARNING, "trainer.stream"),
        ClipStream(dataset, index, POLICY, CONFIG, seed=5) as stream,
    ):
        mended = [next(stream) for _ in range(12)]
        stats = stream.stats()
    assert stats.bad_clips == {"checksum": sum(bad_row in batch.clip for batch in sound)}
    assert stats.num_retries >= CHECKSUM_TRIES - 1
    assert len(caplog.records) == 1
    assert dataset.clips["clip_id"][bad_row].as_py() in caplog.text
    assert (mended[3].clip != sound[3].clip).tolist() == [slot == 5 for slot in range(8)]
    assert torch.equal(mended[3].movie, sound[3].movie)
    assert len(set(mended[3].clip.tolist())) == 8
    again = batches(dataset, 12, config=StreamConfig(num_processes=0, frame_size=32, num_threads=7))
    assert_equal(mended, again)


def test_too_many_bad_clips_end_the_run(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    for row in clip_rows(dataset.clips)[::2]:
        corrupt(dataset, row.clip_id)
    with pytest.raises(FormatError, match=r"more than max_bad_fraction = 0\.01.*validate"):
        batches(dataset, 50)
    strict = StreamConfig(num_processes=0, frame_size=32, max_bad_fraction=0.0)
    with pytest.raises(FormatError, match="1 of the first"):
        batches(dataset, 50, config=strict)


def test_a_movie_without_a_readable_clip_left_is_named(
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


def test_a_store_that_recovers_is_only_a_delay(dataset: Dataset) -> None:
    storage = FailingStorage(dataset.storage.uri, StorageError("no route"), 3)
    config = StreamConfig(num_processes=0, frame_size=32, deadline_seconds=20.0)
    index = ClipIndex.from_dataset(dataset, POLICY)
    with ClipStream(open_dataset(storage), index, POLICY, config, seed=5) as stream:
        found = [next(stream) for _ in range(8)]
        assert stream.stats().num_retries == 3
    assert_equal(batches(dataset, 8), found)


@pytest.mark.parametrize("kind", [StorageError, AccessDeniedError])
def test_a_store_that_stays_away_ends_the_run_after_the_deadline(
    dataset: Dataset, kind: type[StorageError]
) -> None:
    storage = open_dataset(FailingStorage(dataset.storage.uri, kind("no answer"), 10**9))
    with pytest.raises(kind, match=r"no answer \(bytes \d+ to \d+, \d tries in 0\.\d s\)"):
        batches(storage, 1)


def test_bytes_damaged_on_the_way_are_asked_for_again(dataset: Dataset) -> None:
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


def test_a_closed_stream_says_so(dataset: Dataset) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    stream = ClipStream(dataset, index, POLICY, CONFIG, seed=5)
    kept = next(iter(stream))
    stream.close()
    stream.close()
    assert kept.frames.float().mean() > 0
    with pytest.raises(RuntimeError, match="closed"):
        next(stream)


def test_ctrl_c_while_waiting_ends_the_threads(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    stream = ClipStream(dataset, index, POLICY, CONFIG, seed=5)
    next(stream)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.pending.Pending.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_stats_count_what_was_done(dataset: Dataset) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    with ClipStream(dataset, index, POLICY, CONFIG, seed=5) as stream:
        for _ in range(3):
            next(stream)
        stats = stream.stats()
    assert (stats.num_batches, stats.num_clips, stats.num_retries) == (3, 24, 0)
    assert stats.num_requests >= 6
    assert stats.bytes_read > 24 * 1000
    assert stats.wait_seconds > 0
    assert 0 <= stats.queue_depth <= CONFIG.prefetch_batches
    assert stats.bad_clips == {}
