"""Near-duplicate spans in the batch plan: what is left out, and which movies share a side."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.schema.duplicates import DUPLICATES_SCHEMA
from trainer.data.mix.mixed_dataset import mix
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.sources.repeats import Repeat
from trainer.plan_report import describe, render

MakeDataset = Callable[..., Dataset]
CLIP_NS = 800_000_000


def span(
    kind: str, one: tuple[int, int, int], other: tuple[int, int, int], number: int
) -> dict[str, Any]:
    """A row; each side is (movie, first clip, number of clips)."""
    row: dict[str, Any] = {
        "kind": kind,
        "set_number": number,
        "video_match": 1.0,
        "audio_match": 1.0,
    }
    for prefix, (movie, first, length) in (("", one), ("other_", other)):
        row |= {
            f"{prefix}movie_id": f"movie-{movie:03d}" if length else "",
            f"{prefix}start_ns": first * CLIP_NS,
            f"{prefix}end_ns": (first + length) * CLIP_NS,
            f"{prefix}clips_digest": "",
        }
    return row


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from tests.support.datasets.toy_dataset import write_toy_dataset

    folder = tmp_path_factory.mktemp("repeats")
    return write_toy_dataset(str(folder), num_movies=6, clips_per_movie=8)


def searched(dataset: Dataset, *rows: dict[str, Any]) -> Dataset:
    table = pa.Table.from_pylist(list(rows), DUPLICATES_SCHEMA)
    return dataclasses.replace(dataset, duplicates=table)


def used_clips(index: ClipIndex) -> set[str]:
    return set(index.clip_ids.take(pa.array(index.row)).to_pylist())


def clips(movie: int, numbers: range) -> set[str]:
    return {f"movie-{movie:03d}_{number:06d}" for number in numbers}


ALL = {name for movie in range(6) for name in clips(movie, range(8))}


def test_nothing_changes_without_near_duplicates(plain: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=2)
    before = plan_epoch(ClipIndex.from_dataset(plain, policy), policy, 3, 1)
    index = ClipIndex.from_dataset(searched(plain), policy)
    assert (plan_epoch(index, policy, 3, 1).clips == before.clips).all()
    assert index.repeats == ()


def test_of_an_opening_only_the_first_is_used(plain: Dataset) -> None:
    dataset = searched(
        plain,
        span("opening", (0, 0, 3), (1, 1, 3), 1),
        span("opening", (1, 1, 3), (2, 0, 3), 1),
    )
    index = ClipIndex.from_dataset(dataset, BatchPolicy())
    assert used_clips(index) == ALL - clips(1, range(1, 4)) - clips(2, range(3))
    assert index.repeats == (
        Repeat("movie-001", "movie-000", "opening", 3),
        Repeat("movie-002", "movie-000", "opening", 3),
    )


def test_the_first_movie_that_the_filter_leaves_is_used(plain: Dataset) -> None:
    dataset = searched(plain, span("copy", (0, 0, 8), (1, 0, 8), 1))
    index = ClipIndex.from_dataset(dataset, BatchPolicy(where="movie_id != 'movie-000'"))
    assert clips(1, range(8)) <= used_clips(index)


def test_clips_that_show_nothing_are_not_used(plain: Dataset) -> None:
    dataset = searched(plain, span("blank", (2, 5, 3), (0, 0, 0), 0))
    index = ClipIndex.from_dataset(dataset, BatchPolicy())
    assert used_clips(index) == ALL - clips(2, range(5, 8))
    assert index.repeats == (Repeat("movie-002", "", "blank", 3),)


def test_a_clip_that_is_half_inside_counts(plain: Dataset) -> None:
    row = span("scene", (0, 0, 2), (1, 2, 2), 1)
    row["other_end_ns"] += CLIP_NS // 2
    index = ClipIndex.from_dataset(searched(plain, row), BatchPolicy())
    assert used_clips(index) == ALL - clips(1, range(2, 5))
    row["other_end_ns"] -= CLIP_NS // 10
    index = ClipIndex.from_dataset(searched(plain, row), BatchPolicy())
    assert used_clips(index) == ALL - clips(1, range(2, 4))


def sides(dataset: Dataset) -> dict[str, bool]:
    """Whether each movie is held out, by the clips that either side has."""
    policy = BatchPolicy(heldout_fraction=0.5)
    result = {}
    for split in ("train", "heldout"):
        index = ClipIndex.from_dataset(dataset, dataclasses.replace(policy, split=split))
        result |= {name.rpartition("_")[0]: split == "heldout" for name in used_clips(index)}
    return result


def test_a_film_and_its_trailer_are_on_one_side(plain: Dataset) -> None:
    alone = sides(plain)
    train = next(name for name, is_out in alone.items() if not is_out)
    out = next(name for name, is_out in alone.items() if is_out)
    pair = int(train[-3:]), int(out[-3:])
    for kind in ("excerpt", "scene", "opening", "credits", "copy"):
        row = span(kind, (pair[0], 0, 2), (pair[1], 0, 2), 1)
        together = sides(searched(plain, row))
        assert together[train] == together[out], kind
    logo = sides(searched(plain, span("logo", (pair[0], 0, 2), (pair[1], 0, 2), 1)))
    assert logo == alone, "a logo links nothing"


def test_filters_read_the_kind(plain: Dataset) -> None:
    dataset = searched(plain, span("logo", (0, 0, 2), (1, 0, 2), 1))
    index = ClipIndex.from_dataset(dataset, BatchPolicy(where="near_duplicate == ''"))
    assert used_clips(index) == ALL - clips(0, range(2)) - clips(1, range(2))
    index = ClipIndex.from_dataset(dataset, BatchPolicy(where="near_duplicate == 'logo'"))
    assert used_clips(index) == clips(0, range(2))
    with pytest.raises(InputError, match="reelshards duplicates"):
        ClipIndex.from_dataset(plain, BatchPolicy(where="near_duplicate == ''"))


def test_each_of_several_datasets_has_its_own(
    plain: Dataset, make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    other = make_toy_dataset(str(tmp_path), num_movies=3, clips_per_movie=8)
    both = mix(
        [
            searched(plain, span("logo", (0, 0, 2), (1, 0, 2), 1)),
            searched(other, span("copy", (1, 0, 8), (2, 0, 8), 1)),
        ]
    )
    index = ClipIndex.from_dataset(both, BatchPolicy())
    assert index.repeats == (
        Repeat("1:movie-001", "1:movie-000", "logo", 2),
        Repeat("2:movie-002", "2:movie-001", "copy", 8),
    )
    assert mix([plain, other]).duplicates is None


def test_the_report_lists_them(plain: Dataset) -> None:
    from shards_spec.cli import PlainConsole

    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=2)
    dataset = searched(plain, span("opening", (0, 0, 3), (1, 1, 3), 1))
    report = describe(ClipIndex.from_dataset(dataset, policy), seed=0, epoch=0)
    console = PlainConsole(width=120, record=True, file=io.StringIO())
    console.print(render(report))
    assert "3 clips: 3 of movie-001 (opening, as movie-000)" in console.export_text()
