"""Evaluation of a run: which clips, which labels, which probes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.schema.tables import clip_rows
from trainer.config import TrainConfig
from trainer.data.plan.clip_index import ClipIndex
from trainer.runs.evaluate import evaluation
from trainer.runs.evaluate.evaluation import evaluate
from trainer.runs.evaluate.heldout import evaluation_index, whole_movies
from trainer.runs.scoring.clip_probes import movie_probes
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.labels import label_clips, read_labels
from trainer.train import train


def write_labels(path: Path, rows: list[tuple[str, float, float, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "start_seconds", "end_seconds", "label"])
        writer.writerows(rows)
    return path


@pytest.fixture
def labels(toy_data: Dataset, toy: ModuleType, tmp_path: Path) -> Path:
    """The true classes of the toy movies."""
    rows = [
        (row.movie_id, row.start_ns / 1e9, row.end_ns / 1e9, f"c{toy.toy_class(row.clip_number)}")
        for row in clip_rows(toy_data.clips)
    ]
    return write_labels(tmp_path / "labels.csv", rows)


def test_held_out_movies_are_evaluated(trained_run: Path, toy_data: Dataset) -> None:
    found = evaluate(toy_data.storage.uri, trained_run)
    assert found.steps_done == 80
    assert found.retrieval.is_heldout
    assert found.notes == []
    assert found.class_probe == {}
    assert 0 < found.retrieval.num_movies < 10
    assert found.retrieval.num_clips == 16 * found.retrieval.num_movies
    ways = [(one.direction, one.gallery) for one in found.retrieval.results]
    assert ways == [
        ("video_to_audio", "within_movie"),
        ("video_to_audio", "global"),
        ("audio_to_video", "within_movie"),
        ("audio_to_video", "global"),
    ]


def test_class_probe_finds_the_classes(trained_run: Path, toy_data: Dataset, labels: Path) -> None:
    found = evaluate(toy_data.storage.uri, trained_run, labels)
    for probe in found.class_probe.values():
        assert probe.accuracy > 0.6
        assert probe.chance == pytest.approx(1 / 8)
        assert probe.num_train_clips + probe.num_eval_clips == 160
    # Every toy movie has its own tint and hum.
    assert found.movie_probe["audio"].accuracy >= found.movie_probe["audio"].chance
    text = "\n".join(found.lines())
    assert "class probe on video features" in text
    assert json.loads(json.dumps(found.to_json()))["class_probe"]["video"]["num_classes"] == 8


def test_an_index_column_can_be_the_class(
    trained_run: Path, toy_data: Dataset, labels: Path
) -> None:
    found = evaluate(toy_data.storage.uri, trained_run, label_column="shot_id")
    shots = set(toy_data.clips["shot_id"].to_pylist())
    assert found.class_probe["video"].num_classes == len(shots)
    with pytest.raises(InputError, match="no column 'genre'; it has clip_id, movie_id"):
        evaluate(toy_data.storage.uri, trained_run, label_column="genre")
    with pytest.raises(InputError, match="not both"):
        evaluate(toy_data.storage.uri, trained_run, labels, "shot_id")


def test_a_run_without_held_out_movies_is_reported(
    toy_data: Dataset, tiny_config: TrainConfig, labels: Path, tmp_path: Path
) -> None:
    policy = dataclasses.replace(tiny_config.policy, split="all", heldout_fraction=0.0)
    config = dataclasses.replace(tiny_config, policy=policy, steps=2)
    run = tmp_path / "run"
    train(toy_data.storage.uri, run, config)
    found = evaluate(toy_data.storage.uri, run, labels)
    assert not found.retrieval.is_heldout
    assert found.retrieval.num_movies == 10
    assert any("held no movies out" in note for note in found.notes)
    assert any("no class probe" in note for note in found.notes)


def test_an_unfinished_run_is_reported(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, stop_at_step=1))
    assert any("1 of 12 steps" in n for n in evaluate(toy_data.storage.uri, tmp_path).notes)


def test_a_folder_without_a_run_is_rejected(toy_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        evaluate(toy_data.storage.uri, tmp_path)


def test_no_movie_is_on_both_sides(toy_data: Dataset, tiny_config: TrainConfig) -> None:
    judged, is_heldout = evaluation_index(toy_data, tiny_config)
    trained = ClipIndex.from_dataset(toy_data, tiny_config.policy)
    assert is_heldout
    assert not set(judged.movie.tolist()) & set(trained.movie.tolist())
    assert len(judged.row) + len(trained.row) == 160


@pytest.mark.parametrize(("max_clips", "num_movies"), [(1000, 4), (10, 3), (1, 1)])
def test_whole_movies_up_to_a_limit(
    max_clips: int,
    num_movies: int,
    tiny_config: TrainConfig,
    make_toy_dataset: Callable[..., Dataset],
    tmp_path: Path,
) -> None:
    data = make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=[3, 3, 3, 3])
    policy = dataclasses.replace(tiny_config.policy, split="all", heldout_fraction=0.0)
    rows = whole_movies(ClipIndex.from_dataset(data, policy), max_clips)
    assert len(rows) == 3 * num_movies
    assert len(set(rows.tolist())) == len(rows)


def test_a_clip_takes_the_label_that_covers_most_of_it(toy_data: Dataset, tmp_path: Path) -> None:
    # Clips of 0.8 s: [0, 0.8), [0.8, 1.6), [1.6, 2.4), [2.4, 3.2).
    path = write_labels(
        tmp_path / "l.csv",
        [
            ("movie-000", 0.0, 0.5, "cat"),
            ("movie-000", 0.5, 1.0, "dog"),
            ("movie-000", 1.3, 1.9, "cow"),
            ("movie-000", 1.9, 2.4, "owl"),
            ("movie-999", 0.0, 9.0, "elsewhere"),
        ],
    )
    stretches = read_labels(path, toy_data)
    first = [r for r in clip_rows(toy_data.clips) if r.movie_id == "movie-000"]
    place = {row.clip_number: i for i, row in enumerate(first)}
    found = label_clips(toy_data.clips, [place[n] for n in range(4)], stretches)
    # Clip 1 has 0.2 s of dog and 0.3 s of cow: neither covers half.
    assert found == ["cat", None, "owl", None]


def test_labels_match_file_names(toy_data: Dataset, tmp_path: Path) -> None:
    uris = [f"file:///films/{n}%20a.mp4" for n in range(toy_data.movies.num_rows)]
    place = toy_data.movies.schema.get_field_index("source_uri")
    movies = toy_data.movies.set_column(place, "source_uri", [uris])
    dataset = dataclasses.replace(toy_data, movies=movies)
    path = write_labels(tmp_path / "l.csv", [("2 a.mp4", 0, 1, "x")])
    assert list(read_labels(path, dataset)) == ["movie-002"]


def test_file_names_of_several_movies_are_rejected(toy_data: Dataset, tmp_path: Path) -> None:
    uris = [f"/films/{n}/film.mp4" for n in range(toy_data.movies.num_rows)]
    place = toy_data.movies.schema.get_field_index("source_uri")
    dataset = dataclasses.replace(
        toy_data, movies=toy_data.movies.set_column(place, "source_uri", [uris])
    )
    path = write_labels(tmp_path / "l.csv", [("film.mp4", 0, 1, "x")])
    with pytest.raises(InputError, match=r"line 2: 'film\.mp4' is the file name of several"):
        read_labels(path, dataset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,label\nmovie-000,x\n", r"has no column start_seconds, end_seconds"),
        (
            "source,start_seconds,end_seconds,label\nmovie-000,a,2,x\n",
            "line 2: start_seconds and end_seconds must be numbers",
        ),
        ("source,start_seconds,end_seconds,label\nother,1,2,x\n", "no row of .* names a movie"),
    ],
)
def test_unusable_labels_are_rejected(
    text: str, message: str, toy_data: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(path, toy_data)


def test_movie_probe_is_fitted_on_first_halves(toy_data: Dataset) -> None:
    # One feature encodes the half of the movie, the other one the movie.
    rows = [r for r in clip_rows(toy_data.clips) if r.movie_id in ("movie-000", "movie-001")]
    movie = torch.tensor([int(row.movie_id[-1]) for row in rows])
    late = torch.tensor([row.clip_number >= 8 for row in rows])
    # Video identifies the movie in first halves and misleads in second halves; audio never does.
    video = torch.nn.functional.one_hot(movie ^ late.long(), 2).float()
    audio = torch.nn.functional.one_hot(movie, 2).float()
    clip = torch.arange(len(rows))
    embedded = EmbeddedClips(video, audio, video, audio, clip, movie)
    found = movie_probes(toy_data, embedded)
    video_result, audio_result = found["video"].result, found["audio"].result
    assert (video_result.accuracy, audio_result.accuracy) == (0.0, 1.0)
    assert (video_result.num_train_clips, video_result.chance) == (16, 0.5)
    assert late[found["audio"].row].all()
    assert found["audio"].is_right.all()
    assert not found["video"].is_right.any()


@pytest.mark.parametrize("name", ["video", "audio", "video_features", "audio_features"])
def test_clips_with_non_finite_embeddings_are_named(name: str, toy_data: Dataset) -> None:
    values = {key: torch.ones(20, 3) for key in ("video", "audio", "video_features")}
    embedded = EmbeddedClips(
        **values,
        audio_features=torch.ones(20, 3),
        clip=torch.arange(20),
        movie=torch.zeros(20, dtype=torch.int64),
    )
    embedded.require_finite(toy_data)
    bad = torch.ones(20, 3)
    bad[3, 1] = math.nan
    [clip] = toy_data.clips["clip_id"].slice(3, 1).to_pylist()
    with pytest.raises(InputError, match=rf"of 1 of 20 clips are NaN or infinite: {clip};"):
        dataclasses.replace(embedded, **{name: bad}).require_finite(toy_data)
    with pytest.raises(InputError, match=r"of 20 of 20 clips .* and 15 more;"):
        dataclasses.replace(embedded, **{name: bad * math.inf}).require_finite(toy_data)


def test_evaluation_is_capped_to_whole_movies_and_reports_it(
    trained_run: Path, toy_data: Dataset, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MAX_CLIPS", 20)
    monkeypatch.setattr(evaluation, "MAX_PROBE_CLIPS", 50)
    capped = evaluation.evaluate(toy_data.storage.uri, trained_run, labels)
    assert capped.retrieval.num_clips == 16
    assert capped.class_probe["video"].num_train_clips == 48
    assert capped.class_probe["video"].num_eval_clips == 16
    notes = " ".join(capped.notes)
    assert "evaluation clips: 16 of " in notes
    assert "training clips of the class probe: 48 of " in notes
