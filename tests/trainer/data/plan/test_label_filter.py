"""Labels in the filters of policies: the same clips, in every way of opening a dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec import layout
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import rejoin_tables, write_ranges
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS
from trainer.data.mix.mixed_dataset import mix
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.open_dataset import open_for_training
from trainer.runs.growth import movie_digests
from trainer.runs.scoring.labels import labeler

#: Clips of the toy movies have 0.8 s; label, text, first and last (exclusive) clip of a movie.
LABELS = (
    ("movie-000", "sad", None, 0, 4),
    ("movie-000", "dark", None, 2, 6),
    ("movie-001", "sad", "Good Bye, my love", 6, 8),
    ("movie-001", None, "Hello", 7, 8),
)


def write(
    dataset: Dataset, labels: tuple[tuple[str, str | None, str | None, int, int], ...]
) -> None:
    clip_ns = round(0.8 * NANOSECONDS)
    ranges = [
        LabeledRange(movie, first * clip_ns, end * clip_ns, label, text)
        for movie, label, text, first, end in labels
    ]
    write_ranges(dataset.storage, "mood", ranges_table(ranges, dataset.movies, Findings()))
    path = dataset.storage.local_path(layout.CLIPS_PARQUET)
    rejoin_tables(dataset.storage, path, dataset.clips_fingerprint)


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    made = make_toy_dataset(str(tmp_path / "data"))
    write(made, LABELS)
    return made


def chosen(dataset: Dataset, where: str) -> set[str]:
    """Ids of the eligible clips, which do not depend on how the dataset was opened."""
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=1, where=where)
    indices = [
        ClipIndex.from_dataset(opened, policy)
        for opened in (dataset, open_for_training(dataset.storage.uri, policy))
    ]
    ids = [{index.clip_ids[row].as_py() for row in index.row.tolist()} for index in indices]
    assert ids[0] == ids[1]
    assert indices[0].fingerprint == indices[1].fingerprint != dataset.fingerprint
    return ids[0]


def numbered(movie: int, *numbers: int) -> set[str]:
    return {f"movie-{movie:03d}_{number:06d}" for number in numbers}


@pytest.mark.parametrize(
    ("where", "clips"),
    [
        ("labels.mood == 'sad'", numbered(0, 0, 1) | numbered(1, 6, 7)),
        ("'sad' in labels.mood", numbered(0, 0, 1, 2, 3) | numbered(1, 6, 7)),
        ("'dark' in labels.mood", numbered(0, 2, 3, 4, 5)),
        ("labels.mood == 'dark'", numbered(0, 2, 3, 4, 5)),
        ("labels.mood in ('dark', 'light')", numbered(0, 2, 3, 4, 5)),
        (
            "'sad' in labels.mood and 'dark' not in labels.mood",
            numbered(0, 0, 1) | numbered(1, 6, 7),
        ),
        ("labels.mood != 'sad'", numbered(0, 2, 3, 4, 5)),
        ("'GOOD BYE' in text.mood", numbered(1, 6, 7)),
        ("'hello' in text.mood and overlap.mood >= 0.5", numbered(1, 7)),
        ("text.mood == 'Good Bye, my love Hello'", numbered(1, 7)),
        ("'e-002' in movie_id and clip_number < 2 and overlap.mood == 0", numbered(2, 0, 1)),
        ("text.mood != '' and not (movie_id == 'movie-000')", numbered(1, 6, 7)),
    ],
)
def test_clips_are_chosen_by_label_and_text(dataset: Dataset, where: str, clips: set[str]) -> None:
    assert chosen(dataset, where) == clips


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("labels.moods == 'sad'", "no labels 'moods'; it has: mood"),
        ("labels.mood", "is of type string, not boolean"),
        ("labels.mood > 3", "cannot be compared with 3"),
        ("3 in labels.mood", "must be a list of values"),
        ("labels.mood in text.mood", "must be a list of values"),
        ("labels.mood.x == 'sad'", "is not a column"),
        ("lables.mood == 'sad'", "is not a column"),
        ("'x' in motion", "cannot be compared"),
        ("labels['mood'] == 'sad'", "is not a column"),
    ],
)
def test_filters_that_make_no_sense_are_refused(dataset: Dataset, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(dataset, where)


def test_labels_of_several_datasets(
    dataset: Dataset, make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    other = make_toy_dataset(str(tmp_path / "other"), num_movies=2)
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=1, where="labels.mood == 'dark'")
    uris = [dataset.storage.uri, other.storage.uri]
    with pytest.raises(InputError, match="other has no labels 'mood'; it has: none"):
        open_for_training(uris, policy)
    write(other, (("movie-001", "dark", None, 0, 1),))
    indices = [
        ClipIndex.from_dataset(opened, policy)
        for opened in (open_for_training(uris, policy), mix([open_dataset(uri) for uri in uris]))
    ]
    for index in indices:
        assert index.group_names[:1] == ("1:movie-000",)
        assert [index.clip_ids[row].as_py() for row in index.row.tolist()][-1] == "movie-001_000000"
        assert index.num_eligible == 5
    assert indices[0].fingerprint == indices[1].fingerprint


def test_a_run_notices_other_labels(dataset: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=1, where="labels.mood == 'dark'")
    before = open_for_training(dataset.storage.uri, policy)
    write(dataset, LABELS[1:])
    after = open_for_training(dataset.storage.uri, policy)
    assert before.fingerprint != after.fingerprint
    # Also where movies may be added: those of `movie-000` have changed, others have not.
    digests = movie_digests(before.clips), movie_digests(after.clips)
    changed = [name for name in digests[0] if digests[0][name] != digests[1][name]]
    assert changed == ["movie-000"]
    # Without them in the filter, nothing has changed.
    plain = dataclasses.replace(policy, where="")
    assert open_for_training(dataset.storage.uri, plain).fingerprint == dataset.fingerprint


@pytest.mark.parametrize(("path", "column"), [(None, "labels.mood"), (Path("labels.mood"), "")])
def test_labels_are_classes_of_an_evaluation(
    dataset: Dataset, path: Path | None, column: str
) -> None:
    label = labeler(dataset, path, column)
    assert label is not None
    rows = dataset.rows_of(["movie-000_000000", "movie-000_000005", "movie-002_000000"])
    assert label(rows) == ["sad", "dark", None]
    with pytest.raises(InputError, match="no labels 'moo'"):
        labeler(dataset, None, "labels.moo")
