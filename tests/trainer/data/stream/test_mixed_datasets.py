"""Several datasets in one run: streams, resume, evaluation, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.schema.tables import MOVIES_SCHEMA
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.mix.mixed_dataset import mix
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.stream import ClipStream, open_for_training
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.runs.evaluate.evaluation import evaluate
from trainer.train import train

STREAM = StreamConfig(frame_size=32, num_processes=0, num_threads=2)


@pytest.fixture(scope="module")
def pair(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Two datasets whose movies have the same ids and other frames."""
    folder = tmp_path_factory.mktemp("mixed")
    make_toy_dataset(str(folder / "a"), num_movies=6, clips_per_movie=12)
    make_toy_dataset(str(folder / "b"), num_movies=5, clips_per_movie=8, height=48, short_side=32)
    return [str(folder / "a"), str(folder / "b")]


@pytest.mark.parametrize("num_processes", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_batches_contain_the_clips_of_their_dataset(
    pair: list[str], num_processes: int, no_threads_left: None
) -> None:
    policy = BatchPolicy(movies_per_batch=3, clips_per_movie=4, data_weights=(2.0, 1.0))
    dataset = open_for_training(pair, policy)
    alone = [open_for_training(uri, policy) for uri in pair]
    config = dataclasses.replace(STREAM, num_processes=num_processes, crop="center")
    seen = set()
    with ClipStream(dataset, policy, config, seed=1) as stream:
        lines = stream.shares()
        for batch in (next(stream) for _ in range(3)):
            for row, frames in zip(batch.clip.tolist(), batch.frames, strict=True):
                number, own = (0, row) if row < 72 else (1, row - 72)
                seen.add(number)
                assert torch.equal(frames, one_clip(alone[number], own, policy))
            assert (batch.clip < 72).sum() == 8
    assert seen == {0, 1}
    assert "data 1: 2 of 3 movies" in lines[0]
    assert pair[1] in lines[1]


def test_ranks_share_the_batches_of_one(pair: list[str]) -> None:
    policy = BatchPolicy(movies_per_batch=3, clips_per_movie=4, data_weights=(2.0, 1.0))
    dataset = open_for_training(pair, policy)
    with ClipStream(dataset, policy, STREAM, seed=1, epoch=1, step=1) as alone:
        whole = next(alone)
    parts = []
    for rank in range(3):
        settings = {"seed": 1, "rank": rank, "world_size": 3, "epoch": 1, "step": 1}
        with ClipStream(dataset, policy, STREAM, **settings) as stream:  # type: ignore[arg-type]
            parts.append(next(stream))
    for name in ("clip", "movie", "frames", "logmel"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(whole, name)), name


def one_clip(dataset: Dataset, row: int, policy: BatchPolicy) -> torch.Tensor:
    from trainer.data.stream import read_all

    return next(iter(read_all(dataset, [row], STREAM))).frames[0]


def test_a_run_of_two_datasets_resumes_bit_for_bit(
    pair: list[str], tiny_config: TrainConfig, tmp_path: Path
) -> None:
    policy = dataclasses.replace(
        tiny_config.policy, movies_per_batch=3, clips_per_movie=2, data_weights=(2.0, 1.0)
    )
    config = dataclasses.replace(tiny_config, policy=policy, steps=4, eval_clips=32)
    train(pair, tmp_path / "whole", config)
    stopped = dataclasses.replace(config, stop_at_step=2)
    train(pair, tmp_path / "parts", stopped)
    outcome = train(pair, tmp_path / "parts", config)
    whole, parts = (newest_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert whole is not None
    assert parts is not None
    assert whole.plan == parts.plan
    for name, weight in whole.model.items():
        assert torch.equal(weight, parts.model[name]), name
    assert outcome.retrieval is not None
    assert len(outcome.retrieval.by_dataset) == 2
    described = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert [part["num_clips"] for part in described["dataset"]["parts"]] == [72, 40]
    check_other_datasets_are_refused(pair, config, tmp_path)
    check_the_evaluation(pair, tmp_path)


def check_other_datasets_are_refused(pair: list[str], config: TrainConfig, folder: Path) -> None:
    run = folder / "parts"
    weights = dataclasses.replace(config.policy, data_weights=(1.0, 1.0))
    with pytest.raises(InputError, match=r"policy.data_weights: \[2.0, 1.0\] became \[1.0, 1.0\]"):
        train(pair, run, dataclasses.replace(config, policy=weights))
    with pytest.raises(InputError, match=r"datasets: .* became a single dataset"):
        train(pair[0], run, config)
    with pytest.raises(InputError, match=r"datasets: .*/a \+ .*/b became .*/b \+ .*/a"):
        train(pair[::-1], run, config)


def check_the_evaluation(pair: list[str], folder: Path) -> None:
    evaluation = evaluate(pair, folder / "whole")
    by_dataset = list(evaluation.retrieval.by_dataset.values())
    assert sum(own.num_clips for own in by_dataset) == evaluation.retrieval.num_clips
    text = "\n".join(evaluation.lines())
    assert f"data 2, file://{pair[1]}" in text
    assert not [note for note in evaluation.notes if "differs" in note]
    own = evaluate(pair[1], folder / "whole")
    assert own.retrieval.results == by_dataset[1].results


def test_what_does_not_go_together_is_refused(
    pair: list[str], make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    policy = BatchPolicy()
    with pytest.raises(InputError, match=r"dataset 2 .* is also dataset 1"):
        open_for_training([pair[0], pair[0] + "/"], policy)
    make_toy_dataset(str(tmp_path / "other"), num_frames=8, n_mels=20)
    with pytest.raises(
        InputError, match="num_frames is 8 instead of 4; n_mels is 20 instead of 16"
    ):
        open_for_training([*pair, str(tmp_path / "other")], policy)
    assert main(["plan", "--data", pair[0], str(tmp_path / "other")]) == 2


def test_copies_across_datasets_are_used_once(pair: list[str]) -> None:
    datasets = [open_for_training(uri, BatchPolicy()) for uri in pair]
    with_sources = []
    for dataset in datasets:
        prints = [f"{number:016x}" for number in range(dataset.movies.num_rows)]
        same = {"source_fingerprint": prints, "source_bytes": [9] * len(prints)}
        movies = dataset.movies
        for name, values in {**same, "duration_ns": [10**9] * len(prints)}.items():
            field = MOVIES_SCHEMA.field(name)
            at = MOVIES_SCHEMA.get_field_index(name)
            movies = movies.set_column(at, field, [pa.array(values, field.type)])
        with_sources.append(dataclasses.replace(dataset, movies=movies))
    index = ClipIndex.from_dataset(mix(with_sources), BatchPolicy())
    assert [(copy.movie_id, copy.copy_of) for copy in index.copies] == [
        (f"2:movie-{number:03d}", f"1:movie-{number:03d}") for number in range(5)
    ]


def test_plan_and_settings_file_take_several_datasets(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--policy.movies-per-batch", "3", "--policy.clips-per-movie", "4", "--json"]
    assert main(["plan", "--data", *pair, "--data-weights", "2", "1", *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [line.split(" of ")[0] for line in report["datasets"]] == ["data 1: 2", "data 2: 1"]
    settings = tmp_path / "mixed.toml"
    settings.write_text(
        f"data = {json.dumps(pair)}\nconfig = 'small'\nsteps = 2\neval_clips = 16\n"
        "tensorboard = false\n[policy]\nmovies_per_batch = 3\nclips_per_movie = 2\n"
        "data_weights = [2, 1]\n[stream]\nframe_size = 32\nnum_processes = 0\n"
    )
    assert main(["train", "--settings", str(settings), "--run", str(tmp_path / "run")]) == 0
    assert "data 2: 1 of 3 movies of a batch" in capsys.readouterr().out
    settings.write_text("data = 7\n")
    assert main(["train", "--settings", str(settings), "--run", str(tmp_path / "new")]) == 2
