"""What a run is said to have seen is what its stream yielded, step by step."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shards_spec.dataset.index import write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from shards_spec.storage import Storage
from trainer import train as training
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.plan.forecast.walk import PlanWalk
from trainer.data.stream import Batch, ClipStream
from trainer.runs.exposure import Exposure, compute_exposure
from trainer.runs.folder import describe_run, read_description
from trainer.runs.journal import StepResult
from trainer.runs.learning.learner import Learner

MakeDataset = Callable[..., Dataset]

#: Movies of each step of the run that is being trained, by step; steps done again replace theirs.
Seen = dict[int, list[str]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Fills up while runs train, from the batches that reach the model."""
    movies: Seen = {}
    learn, opener = training.learn, training.open_for_training
    names: list[list[str]] = []

    def open_noted(data: str | Sequence[str], policy: BatchPolicy) -> Dataset:
        dataset = opener(data, policy)
        names.append(dataset.clips["movie_id"].to_pylist())
        return dataset

    def learn_noted(learner: Learner, batch: Batch, steps_done: int) -> StepResult:
        movies[steps_done + 1] = [names[-1][row] for row in batch.clip.tolist()]
        return learn(learner, batch, steps_done)

    monkeypatch.setattr(training, "open_for_training", open_noted)
    monkeypatch.setattr(training, "learn", learn_noted)
    return movies


def agree(exposure: Exposure, seen: Seen) -> None:
    """Compare every number with the batches."""
    for movie in exposure.movies:
        steps = [step for step in sorted(seen) if movie.movie_id in seen[step]]
        assert movie.num_steps == len(steps), movie
        assert movie.num_clips == sum(names.count(movie.movie_id) for names in seen.values())
        assert [movie.first_step, movie.last_step] == ([steps[0], steps[-1]] if steps else [0, 0])
        for checkpoint in exposure.checkpoints:
            before = [step for step in steps if step <= checkpoint.step]
            assert movie.steps_by_checkpoint[checkpoint.name] == len(before)
        assert movie.steps in ((), tuple(steps))
    reported = {movie.movie_id for movie in exposure.movies}
    assert {name for names in seen.values() for name in names} <= reported


@pytest.mark.parametrize(
    ("changes", "num_steps"),
    [
        ({}, 12),
        ({"schedule": "5:2 9:4", "where": "clip_number != 3"}, 14),
        ({"schedule": "4:2", "schedule_keeps": "movies", "weighting_exponent": 0.5}, 12),
        ({"joined_clips": 2, "clips_per_movie": 2}, 9),
    ],
)
def test_a_walk_has_the_steps_of_a_stream(
    make_toy_dataset: MakeDataset, tmp_path: Path, changes: dict[str, object], num_steps: int
) -> None:
    data = make_toy_dataset(str(tmp_path), num_movies=8, clips_per_movie=[8, 8, 16, 9, 8, 12, 8, 8])
    values = {"movies_per_batch": 4, "clips_per_movie": 4, "reads_per_movie": 2} | changes
    policy = BatchPolicy(**values)  # type: ignore[arg-type]
    config = StreamConfig(frame_size=32, num_processes=0, num_threads=1)
    index = ClipIndex.from_dataset(data, policy)
    walked = [
        (stretch.epoch, rows.ravel().tolist())
        for stretch in _walk(index).until(num_steps)
        for rows in stretch.clips
    ]
    with ClipStream(data, policy, config, seed=3) as stream:
        yielded = [(b.epoch, b.clip.tolist()) for b in (next(stream) for _ in range(num_steps))]
    assert len({epoch for epoch, _ in yielded}) > 1
    assert walked == yielded


def _walk(index: ClipIndex) -> PlanWalk:
    return PlanWalk(index, 3)


def test_a_walk_continues_where_it_stopped(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_toy_dataset(str(tmp_path), num_movies=6, clips_per_movie=8)
    index = ClipIndex.from_dataset(data, BatchPolicy(movies_per_batch=4, clips_per_movie=4))
    whole = [row for stretch in _walk(index).until(11) for row in stretch.clips.tolist()]
    walk, parts = _walk(index), []
    for target in (0, 1, 1, 5, 11):
        parts += [row for stretch in walk.until(target) for row in stretch.clips.tolist()]
    assert parts == whole
    assert len(whole) == 11


def test_exposure_without_a_trained_model(
    make_toy_dataset: MakeDataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    data = make_toy_dataset(str(tmp_path / "data"), num_movies=8)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    describe_run(run, data, tiny_config)
    with pytest.raises(InputError, match="no checkpoint"):
        compute_exposure(run)
    for step in (2, 5):
        (run / f"checkpoints/step-{step:08d}.pt").touch()
    names = data.clips["movie_id"].to_pylist()
    with ClipStream(data, tiny_config.policy, tiny_config.stream, seed=tiny_config.seed) as stream:
        seen = {step: [names[row] for row in next(stream).clip] for step in range(1, 6)}
    agree(compute_exposure(run), seen)
    agree(compute_exposure(f"file://{run}"), seen)
    # Movies that were appended since the last launch have not been seen.
    make_toy_dataset(str(tmp_path / "data"), num_movies=11)
    agree(compute_exposure(run), seen)
    (run / "config.json").unlink()
    with pytest.raises(InputError, match="not a run folder"):
        compute_exposure(run)


@pytest.mark.slow
def test_exposure_of_a_run_in_a_bucket(
    make_toy_dataset: MakeDataset,
    tiny_config: TrainConfig,
    s3_bucket: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_toy_dataset(f"{s3_bucket}/data", num_movies=6)
    run, storage = tmp_path / "run", Storage(f"{s3_bucket}/runs/first")
    (run / "checkpoints").mkdir(parents=True)
    describe_run(run, data, tiny_config)
    (run / "checkpoints/step-00000003.pt").touch()
    local = compute_exposure(run)
    for path in (path for path in run.rglob("*") if path.is_file()):
        storage.put(path.relative_to(run).as_posix(), path)
    names = data.clips["movie_id"].to_pylist()
    with ClipStream(data, tiny_config.policy, tiny_config.stream, seed=tiny_config.seed) as stream:
        seen = {step: [names[row] for row in next(stream).clip] for step in range(1, 4)}
    exposure = compute_exposure(storage.uri)
    agree(exposure, seen)
    assert dataclasses.replace(exposure, run=local.run) == local
    assert main(["exposure", storage.uri, "--movie", "movie-000"]) == 0
    assert f"movie-000: {local.movies[0].num_steps or 'never'}" in capsys.readouterr().out
    # The bucket is not written to, not even for a lock.
    assert {info.key for info in storage.list()} == {
        path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()
    }
    assert main(["exposure", f"{s3_bucket}/runs/none"]) == 2
    assert "is not a run folder: it has no config.json" in capsys.readouterr().err
    storage.delete("checkpoints/step-00000003.pt")
    assert main(["exposure", storage.uri]) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


@pytest.mark.slow
def test_exposure_of_a_run_that_was_trained_in_a_bucket(
    make_toy_dataset: MakeDataset,
    tiny_config: TrainConfig,
    seen: Seen,
    s3_bucket: str,
) -> None:
    data = make_toy_dataset(f"{s3_bucket}/data", num_movies=10)
    run = f"{s3_bucket}/runs/first"
    config = dataclasses.replace(tiny_config, steps=7, eval_every=3, milestone_every=4)
    training.train(data.storage.uri, run, dataclasses.replace(config, stop_at_step=5))
    training.train(data.storage.uri, run, config)
    exposure = compute_exposure(run)
    assert exposure.steps_done == 7
    assert {item.name for item in exposure.checkpoints} >= {"milestone-00000004.pt", "best.pt"}
    agree(exposure, seen)


@pytest.mark.slow
def test_exposure_of_a_resumed_run(
    make_toy_dataset: MakeDataset,
    tiny_config: TrainConfig,
    seen: Seen,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_toy_dataset(str(tmp_path / "data"), num_movies=10, num_failed=1)
    run = tmp_path / "run"
    config = dataclasses.replace(tiny_config, steps=7, eval_every=3, milestone_every=4)
    training.train(data.storage.uri, run, dataclasses.replace(config, stop_at_step=5))
    # Steps after the newest checkpoint are done again.
    shutil.copy(run / "checkpoints/step-00000004.pt", tmp_path)
    for path in run.glob("checkpoints/step-*.pt"):
        path.unlink()
    shutil.copy(tmp_path / "step-00000004.pt", run / "checkpoints")
    training.train(data.storage.uri, run, config)
    exposure = compute_exposure(run)
    assert exposure.steps_done == 7
    assert {item.name for item in exposure.checkpoints} >= {"milestone-00000004.pt", "best.pt"}
    agree(exposure, seen)
    uses = {movie.use for movie in exposure.movies}
    assert {"trained", "held out", "not eligible"} == uses
    name = seen[1][0]
    capsys.readouterr()
    assert main(["exposure", str(run), "--movie", name, "--json"]) == 0
    (movie,) = json.loads(capsys.readouterr().out)["movies"]
    assert movie["steps"] == [step for step in sorted(seen) if name in seen[step]]
    assert main(["exposure", str(run), "--movie", name, "broken-000"]) == 0
    text = capsys.readouterr().out
    assert f"{name}: {len(movie['steps'])} steps" in text
    assert "broken-000: never (not eligible)" in text
    assert main(["exposure", str(run), "--movie", f"{name}x"]) == 2
    assert f"did you mean {name}?" in capsys.readouterr().err
    # The index as it was is needed, and enough.
    copy = tmp_path / "before"
    for key in ("dataset.json", "index/clips.parquet", "index/movies.parquet"):
        (copy / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.storage.local_path(key), copy / key)
    write_index(data.storage, data.recipe, "toy", without=[name])
    with pytest.raises(InputError, match=rf"movies that are missing: {name}.*--data"):
        compute_exposure(run)
    agree(compute_exposure(run, data=[str(copy)]), seen)


@pytest.mark.slow
def test_exposure_when_movies_were_appended(
    make_toy_dataset: MakeDataset, tiny_config: TrainConfig, seen: Seen, tmp_path: Path
) -> None:
    uri, run = str(tmp_path / "data"), tmp_path / "run"
    make_toy_dataset(uri, num_movies=10, clips_per_movie=16)
    config = dataclasses.replace(tiny_config, steps=14, allow_appended_data=True)
    training.train(uri, run, dataclasses.replace(config, stop_at_step=3))
    make_toy_dataset(uri, num_movies=12, clips_per_movie=16)
    agree(compute_exposure(run), seen)
    training.train(uri, run, dataclasses.replace(config, stop_at_step=8))
    make_toy_dataset(uri, num_movies=15, clips_per_movie=16)
    training.train(uri, run, config)
    changes = read_description(run)["data_changes"]
    assert [(change["steps_done"], len(change["added"])) for change in changes] == [(3, 2), (8, 3)]
    agree(
        compute_exposure(run, ["movie-011", "movie-014", "movie-000"]),
        {
            step: [name for name in names if name in ("movie-011", "movie-014", "movie-000")]
            for step, names in seen.items()
        },
    )
    exposure = compute_exposure(run)
    agree(exposure, seen)
    assert exposure.movies[-1].first_step > 8
    # Without the record of the changes, the metrics contradict the plan.
    path = run / "config.json"
    described = json.loads(path.read_text())
    del described["data_changes"]
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match="movies were appended"):
        compute_exposure(run)


@pytest.mark.slow
def test_exposure_of_a_run_on_two_datasets_with_a_schedule(
    make_toy_dataset: MakeDataset, tiny_config: TrainConfig, seen: Seen, tmp_path: Path
) -> None:
    uris = [str(tmp_path / name) for name in ("one", "two")]
    for uri, count in zip(uris, (9, 14), strict=True):
        make_toy_dataset(uri, num_movies=count, clips_per_movie=12)
    policy = dataclasses.replace(
        tiny_config.policy, data_weights=(1.0, 2.0), schedule="3:2 7:4", where="clip_number > 1"
    )
    config = dataclasses.replace(tiny_config, policy=policy, steps=10)
    training.train(uris, tmp_path / "run", dataclasses.replace(config, stop_at_step=6))
    training.train(uris, tmp_path / "run", config)
    exposure = compute_exposure(tmp_path / "run")
    assert exposure.data == tuple(open_dataset(uri).storage.uri for uri in uris)
    agree(exposure, seen)
    assert {movie.movie_id[:2] for movie in exposure.movies if movie.num_steps} == {"1:", "2:"}
