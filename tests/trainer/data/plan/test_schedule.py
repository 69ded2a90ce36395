"""Clips per movie that change over training: a pure function of the step, resumable anywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.config import TrainConfig
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream
from trainer.plan_report import describe, plan_command
from trainer.runs.journal.metric_log import read_metrics
from trainer.train import train

POLICY = BatchPolicy(movies_per_batch=8, clips_per_movie=1, schedule="4:2 9:4")


@pytest.fixture(scope="module")
def dataset(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    folder = str(tmp_path_factory.mktemp("schedule"))
    return make_toy_dataset(folder, num_movies=9, clips_per_movie=8)


def read(
    dataset: Dataset,
    num: int,
    policy: BatchPolicy = POLICY,
    *,
    num_processes: int = 0,
    place: tuple[int, int, int] = (0, 0, 0),
) -> tuple[list[Batch], tuple[int, int, int]]:
    config = StreamConfig(frame_size=16, num_processes=num_processes, num_threads=2)
    epoch, step, done = place
    with ClipStream(
        dataset, policy, config, seed=2, epoch=epoch, step=step, steps_done=done
    ) as stream:
        batches = [next(stream) for _ in range(num)]
        state = stream.state()
    return batches, (state.epoch, state.step, state.steps_done)


def shape(batch: Batch) -> tuple[int, int]:
    """m and k."""
    _, counts = torch.unique(batch.group, return_counts=True)
    assert len(set(counts.tolist())) == 1
    return len(counts), int(counts[0])


def test_phases_keep_the_batch_or_the_movies() -> None:
    assert [
        (step, one.movies_per_batch, one.clips_per_movie, one.schedule)
        for step, one in POLICY.phases().items()
    ] == [(0, 8, 1, ""), (4, 4, 2, ""), (9, 2, 4, "")]
    same = dataclasses.replace(POLICY, schedule_keeps="movies")
    assert [one.movies_per_batch for one in same.phases().values()] == [8, 8, 8]
    assert [POLICY.at_step(step).clips_per_movie for step in (0, 3, 4, 8, 9, 99)] == [
        *(1, 1, 2, 2, 4, 4)
    ]
    assert [step for step in range(12) if POLICY.changes_at(step)] == [4, 9]
    reads = BatchPolicy(clips_per_movie=8, reads_per_movie=4, schedule="5:2 9:16")
    assert [one.num_reads for one in reads.phases().values()] == [4, 2, 4]
    assert BatchPolicy(schedule="0:4").at_step(0).clips_per_movie == 4


@pytest.mark.parametrize("schedule", ["4", "4:x", "4:0", "5:2 4:1", "4:2 4:1", "4:3", "-1:2"])
def test_impossible_schedules_are_rejected(schedule: str) -> None:
    with pytest.raises(InputError, match="schedule"):
        dataclasses.replace(POLICY, schedule=schedule)


@pytest.mark.parametrize("keeps", ["batch", "movies"])
def test_batches_follow_the_schedule_from_any_start(dataset: Dataset, keeps: str) -> None:
    policy = dataclasses.replace(POLICY, schedule_keeps=keeps)
    straight, _ = read(dataset, 20, policy)
    last = (2, 4) if keeps == "batch" else (8, 4)
    assert [shape(batch) for batch in straight[:4]] == [(8, 1)] * 4
    assert [shape(batch)[1] for batch in straight[4:9]] == [2] * 5
    assert [shape(batch) for batch in straight[9:]] == [last] * 11
    # A phase change starts an epoch.
    assert [(b.epoch, b.step) for b in straight[:5]] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    place, found = (0, 0, 0), list[Batch]()
    for num, processes in ((3, 0), (1, 1), (2, 0), (3, 1), (11, 0)):
        batches, place = read(dataset, num, policy, num_processes=processes, place=place)
        found += batches
    for one, other in zip(straight, found, strict=True):
        assert (one.epoch, one.step) == (other.epoch, other.step)
        assert torch.equal(one.clip, other.clip)
        assert torch.equal(one.frames, other.frames)


def test_an_impossible_later_phase_is_rejected_immediately(dataset: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=4, schedule="100:1")
    with pytest.raises(PolicyError, match="needs 16 movies"):
        read(dataset, 1, policy)


def test_training_follows_the_schedule_and_resumes(
    dataset: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=1, schedule="3:2 6:4")
    config = dataclasses.replace(tiny_config, policy=policy, steps=8, log_every=1)
    train(dataset.storage.uri, tmp_path / "one", config)
    for stop in (2, 3, 7, 0):
        settings = dataclasses.replace(config, stop_at_step=stop)
        train(dataset.storage.uri, tmp_path / "two", settings)
    lines = [read_metrics(tmp_path / name) for name in ("one", "two")]
    losses = [[line["train/loss"] for line in run] for run in lines]
    assert losses[0] == losses[1]
    assert [line["epoch"] for line in lines[0]] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_the_plan_shows_the_phases(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = describe(ClipIndex.from_dataset(dataset, POLICY), 0, 0)
    assert [line.partition(",")[0] for line in report.phases] == [
        *("from step 0: 8 x 1", "from step 4: 4 x 2", "from step 9: 2 x 4")
    ]
    dump = tmp_path / "plan.jsonl"
    assert plan_command(dataset.storage.uri, POLICY, 2, 3, str(dump), False) == 0
    assert "from step 9: 2 x 4" in capsys.readouterr().out
    lines = [json.loads(line) for line in dump.read_text().splitlines()]
    straight, _ = read(dataset, 15)
    ids = dataset.clips["clip_id"].to_pylist()
    for line, batch in zip(lines, straight, strict=False):
        assert (line["epoch"], line["step"]) == (batch.epoch, batch.step)
        assert line["clips"] == [ids[row] for row in batch.clip.tolist()]
