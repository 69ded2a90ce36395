"""The stream: the right clips, the same batches everywhere, clean shutdown."""

from __future__ import annotations

import pytest
import torch

from shards_spec.dataset.reader import Dataset, read_clips
from shards_spec.errors import InputError, PolicyError
from shards_spec.schema.tables import clip_rows
from tests.support.films.streams import CONFIG, POLICY, MakeDataset, assert_equal, batches, write
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.stream.stream import ClipStream

pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.fixture(scope="module")
def dataset(make_toy_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    return write(make_toy_dataset, str(tmp_path_factory.mktemp("stream")))


def test_batches_equal_direct_reads(dataset: Dataset) -> None:
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
            assert index.group_names[int(batch.group[slot])] == row.movie_id
            assert int(batch.movie[slot]) == int(batch.group[slot])


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
        StreamConfig(num_processes=0, frame_size=32, prefetch_bytes=0, max_gap_bytes=0),
    ],
)
def test_threads_and_prefetch_change_nothing(dataset: Dataset, config: StreamConfig) -> None:
    assert_equal(batches(dataset, 25), batches(dataset, 25, config=config))


def test_a_stream_started_in_the_middle_yields_the_same_batches(
    dataset: Dataset,
) -> None:
    straight = batches(dataset, 24)
    for start in (1, 7, 23):
        place = straight[start]
        tail = batches(dataset, 24 - start, epoch=place.epoch, step=place.step)
        assert_equal(straight[start:], tail)
    assert straight[-1].epoch >= 2


def test_state_names_the_next_batch(dataset: Dataset) -> None:
    with ClipStream(dataset, POLICY, CONFIG, seed=5) as stream:
        steps = stream.num_steps_per_epoch
        for _ in range(steps):
            next(stream)
        state = stream.state()
        after = next(stream)
    assert (state.epoch, state.step, state.seed) == (0, steps, 5)
    assert state.index_fingerprint == dataset.fingerprint
    assert_equal(batches(dataset, 1, epoch=state.epoch, step=state.step), [after])
    assert (after.epoch, after.step) == (1, 0)


def test_ranks_together_yield_the_global_batch(dataset: Dataset) -> None:
    whole = batches(dataset, 12)
    parts = [batches(dataset, 12, rank=rank, world_size=2) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for name in ("clip", "group", "movie", "frames", "logmel"):
            joined = torch.cat([getattr(share, name) for share in shares])
            assert torch.equal(getattr(batch, name), joined)


def test_impossible_arguments_are_rejected(dataset: Dataset) -> None:
    with pytest.raises(PolicyError, match="set it to a multiple of"):
        batches(dataset, 1, rank=0, world_size=3)
    with pytest.raises(InputError, match="short side of 32 pixels"):
        batches(dataset, 1, config=StreamConfig(num_processes=0, frame_size=48))
    with pytest.raises(InputError, match="no step 99 in epoch 0"):
        batches(dataset, 1, step=99)
    with pytest.raises(InputError, match="num_threads"):
        StreamConfig(num_threads=0)
    with pytest.raises(InputError, match="max_bad_fraction"):
        StreamConfig(max_bad_fraction=2.0)


def test_a_closed_stream_refuses_to_continue(dataset: Dataset) -> None:
    stream = ClipStream(dataset, POLICY, CONFIG, seed=5)
    kept = next(iter(stream))
    stream.close()
    stream.close()
    assert kept.frames.float().mean() > 0
    with pytest.raises(RuntimeError, match="closed"):
        next(stream)


def test_ctrl_c_while_waiting_ends_the_threads(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ClipStream(dataset, POLICY, CONFIG, seed=5)
    next(stream)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.data.stream.batch_filler.BatchFuture.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_stats_count_reads_and_clips(dataset: Dataset) -> None:
    with ClipStream(dataset, POLICY, CONFIG, seed=5) as stream:
        for _ in range(3):
            next(stream)
        stats = stream.stats()
    assert (stats.num_batches, stats.num_clips, stats.num_retries) == (3, 24, 0)
    assert stats.num_requests >= 6
    assert stats.bytes_read > 24 * 1000
    assert stats.wait_seconds > 0
    assert 0 <= stats.queue_depth <= CONFIG.prefetch_batches
    assert stats.bad_clips == {}
