"""Movies that look and sound the same are found in the index; others are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.dataset.browser.lookalikes import Lookalike, find_lookalikes
from tests.support.datasets import toy_dataset

Course = np.ndarray
"""(num_clips, 2): loudness in dB, mean luma."""


def course(seed: int, num_clips: int) -> Course:
    """Scenes of a few clips, as in movies: both values change slowly within them."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, num_clips)
    scenes = np.repeat(rng.normal((-25, 80), (6, 30), (num_clips, 2)), lengths, axis=0)[:num_clips]
    return scenes + rng.normal(0, (2, 5), (num_clips, 2))


def dataset_of(movies: dict[str, dict[int, Any]], **changes: object) -> Any:
    """A dataset with only an index: for each movie, loudness and luma by clip number."""
    rows = [
        (name, number, *clip)
        for name, clips in sorted(movies.items())
        for number, clip in clips.items()
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    clips = pa.table(
        {
            "movie_id": pa.array(columns[0], pa.string()),
            "clip_number": pa.array(columns[1], pa.int32()),
            "audio_rms_dbfs": pa.array(columns[2], pa.float32()),
            "luma_mean": pa.array(np.clip(columns[3], 0, 255), pa.float32()),
        }
    )
    return SimpleNamespace(recipe=toy_dataset.toy_recipe(**changes), clips=clips)


def numbered(values: Course, first: int = 0) -> dict[int, Any]:
    return dict(enumerate(values.tolist(), first))


def encoded_again(values: Course, seed: int = 9) -> Course:
    rng = np.random.default_rng(seed)
    return values + rng.normal(0, (0.2, 0.7), values.shape)


def found(dataset: Any) -> list[tuple[str, str, int]]:
    return [(pair.first, pair.second, pair.offset_clips) for pair in find_lookalikes(dataset)]


@pytest.mark.parametrize("num_clips", [20, 80, 1000])
@pytest.mark.parametrize("change", ["none", "encoded again", "louder", "brighter", "dropped clips"])
def test_copies_are_found(num_clips: int, change: str) -> None:
    original = course(1, num_clips)
    copy = encoded_again(original) if change != "none" else original
    copy = copy + {"louder": (6.0, 0.0), "brighter": (0.0, 12.0)}.get(change, (0.0, 0.0))
    clips = numbered(copy)
    if change == "dropped clips":
        clips = {number: value for number, value in clips.items() if number % 10 != 9}
    dataset = dataset_of({"b": clips, "a": numbered(original), "other": numbered(course(2, 1000))})
    assert found(dataset) == [("a", "b", 0)]
    [pair] = find_lookalikes(dataset)
    assert pair.is_same
    assert pair.matching > 0.9 * len(clips)


def test_a_copy_that_starts_whole_clips_later_is_found() -> None:
    original = course(3, 300)
    dataset = dataset_of({"a": numbered(original), "b": numbered(encoded_again(original[40:]))})
    assert found(dataset) == [("a", "b", -40)]
    assert "40 clips later" in find_lookalikes(dataset)[0].words


def test_movies_with_a_common_part_are_the_same_in_part() -> None:
    opening = course(4, 30)
    movies = {
        name: numbered(np.concatenate([encoded_again(opening, seed), course(seed, 500)]))
        for seed, name in ((11, "e1"), (12, "e2"))
    }
    [pair] = find_lookalikes(dataset_of(movies))
    assert not pair.is_same
    assert pair.from_clip == 0
    assert pair.words.startswith("a part: ")


def test_a_hundred_different_movies_are_different() -> None:
    movies = {f"m{seed}": numbered(course(100 + seed, 300)) for seed in range(100)}
    assert found(dataset_of(movies)) == []


def test_still_and_silent_movies_say_nothing() -> None:
    still = np.tile((-120.0, 16.0), (100, 1))
    alike = np.tile(course(5, 3), (40, 1))
    movies = {f"s{number}": numbered(still) for number in range(20)}
    assert found(dataset_of(movies)) == []
    # The same few clips over and over, in many movies: a logo.
    assert found(dataset_of({f"l{number}": numbered(alike) for number in range(20)})) == []


def test_nothing_is_claimed_where_there_is_no_grid() -> None:
    both = numbered(course(6, 50))
    assert found(dataset_of({"a": both, "b": both}, clips="shots")) == []
    assert found(dataset_of({"a": numbered(course(6, 3))})) == []
    assert find_lookalikes(dataset_of({})) == ()


def test_pairs_know_their_other_movie() -> None:
    pair = Lookalike("a", "b", 0, 9, 10, 0, 9)
    assert (pair.other("a"), pair.other("b")) == ("b", "a")
