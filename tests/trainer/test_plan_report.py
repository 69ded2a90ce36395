"""The report of `python -m trainer plan`, and the dump of the global batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.forecast.dump import dump_epochs
from trainer.data.plan.policy import BatchPolicy
from trainer.plan_report import describe, plan_command, render

POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)


@pytest.fixture(scope="module")
def dataset(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Adjacent clips of 0.8 s."""
    folder = tmp_path_factory.mktemp("report")
    return make_toy_dataset(str(folder), num_movies=4, clips_per_movie=[40, 42, 9, 17])


def test_report_counts_clips_and_reads(dataset: Dataset) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    report = describe(index, 0, 0, max_gap_bytes=0)
    plan = plan_epoch(index, POLICY, 0, 0)
    assert report.num_steps == plan.num_steps == 13
    assert report.rho == 3 / 7
    assert (report.num_groups, report.num_rows, report.num_eligible) == (4, 108, 108)
    assert report.num_used == 13 * 8
    assert report.num_used + sum(report.unused.values()) == 108
    # One read per movie, and a second one for at most one chunk of each of the four shards.
    assert 2.0 <= report.reads_per_step <= 2.0 + 4 / 13
    num_bytes = sum(dataset.clips["tar_bytes"][row].as_py() for row in plan.clips.ravel().tolist())
    assert report.bytes_per_step == num_bytes / 13
    assert report.gap_seconds_least >= 0.8 - 1e-6
    assert report.gap_seconds_median >= report.gap_seconds_least


def test_more_reads_mix_better(dataset: Dataset) -> None:
    shares = []
    for reads in (1, 4):
        policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4, reads_per_movie=reads)
        index = ClipIndex.from_dataset(dataset, policy)
        shares.append(describe(index, 0, 0).within)
    assert shares[1].share < shares[0].share
    assert shares[1].share == pytest.approx(shares[1].share_random, rel=0.3)


def test_the_report_for_one_clip_per_movie_has_no_gaps(dataset: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=1)
    report = describe(ClipIndex.from_dataset(dataset, policy), 0, 0)
    assert report.rho == report.gap_seconds_least == report.within.share == 0.0
    assert render(report).row_count == 13


def test_dump_lists_global_batches_movie_by_movie(dataset: Dataset, tmp_path: Path) -> None:
    index = ClipIndex.from_dataset(dataset, POLICY)
    plan = plan_epoch(index, POLICY, 0, 2)
    dump_epochs(index, 0, 3, tmp_path / "plan.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "plan.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["epoch"] == 2]
    assert [line["step"] for line in lines] == list(range(plan.num_steps))
    for line, rows in zip(lines, plan.clips.reshape(plan.num_steps, -1).tolist(), strict=True):
        assert line["clips"] == [dataset.clips["clip_id"][row].as_py() for row in rows]
        movies = [clip.rpartition("_")[0] for clip in line["clips"]]
        assert movies == [movies[0]] * 4 + [movies[4]] * 4


def test_command_prints_a_table_and_writes_the_dump(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "plan.jsonl"
    assert plan_command(dataset.storage.uri, POLICY, 0, 3, str(dump), False) == 0
    printed = capsys.readouterr().out
    assert "2 movies x 4 clips = 8 clips" in printed
    lines = [json.loads(line) for line in dump.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == sorted([0, 1, 2] * 13)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.jsonl"]


def test_command_prints_json(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_command(dataset.storage.uri, POLICY, 0, 1, "", True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_steps"] == 13
    assert report["unused"]["gap"] == 0


def test_command_rejects_impossible_policies(dataset: Dataset, tmp_path: Path) -> None:
    uri = dataset.storage.uri
    with pytest.raises(PolicyError, match="needs 8 movies"):
        plan_command(uri, BatchPolicy(), 0, 1, "", False)
    with pytest.raises(InputError, match="epochs = 0"):
        plan_command(uri, POLICY, 0, 0, "", False)
    with pytest.raises(InputError, match="cannot write the plan"):
        plan_command(uri, POLICY, 0, 1, str(tmp_path / "no" / "plan.jsonl"), False)
    with pytest.raises(InputError, match="does not exist"):
        plan_command(str(tmp_path / "none"), POLICY, 0, 1, "", False)
