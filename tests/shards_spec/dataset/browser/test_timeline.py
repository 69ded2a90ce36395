"""Which clips were dropped, and why: as listed, or from missing numbers and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.figures import shot_lengths
from shards_spec.dataset.browser.timeline import Timeline, timeline_of
from shards_spec.dataset.reader import Dataset
from shards_spec.recipe import Recipe
from shards_spec.schema.dropped import DroppedClips, dropped_table
from shards_spec.schema.tables import clips_table, row_values
from tests.support.datasets import toy_dataset
from tests.support.datasets.eventful import _row, drops_of

RECIPE = toy_dataset.toy_recipe()
#: Nanoseconds of a toy clip.
CLIP_NS = 800_000_000


def timeline(
    numbers: Sequence[int],
    recipe: Recipe = RECIPE,
    steps: Sequence[int] | None = None,
    listed: pa.Table | None = None,
    **columns: object,
) -> Timeline:
    rows = [
        toy_dataset.toy_row(recipe, "m", "m", number, 32, 48).at("s", place, 1, 0)
        for place, number in enumerate(numbers)
    ]
    if steps is not None:
        rows = [
            replace(row, start_ns=recipe.grid_ns(step), end_ns=recipe.grid_ns(step + 4))
            for row, step in zip(rows, steps, strict=True)
        ]
    movie = row_values(_row(RECIPE, "m", len(rows), recipe_fingerprint=recipe.fingerprint))
    return timeline_of({**movie, **columns}, clips_table(rows), recipe, listed)


def dropped(found: Timeline) -> list[tuple[float, float, str]]:
    """Ranges in clip lengths, and the possible reasons."""
    return [
        (run.start_ns / CLIP_NS, run.end_ns / CLIP_NS, "/".join(run.reasons))
        for run in found.dropped
    ]


@pytest.mark.parametrize(
    ("numbers", "drops", "expected"),
    [
        ((0, 1, 2), {}, []),
        ((0, 3, 4), {"dropped_black": 2}, [(1, 3, "black")]),
        ((2, 3), {"dropped_silent": 2}, [(0, 2, "silent")]),
        ((0, 1), {"dropped_frozen": 3}, [(2, 5, "frozen")]),
        (
            (1, 4),
            {"dropped_damaged": 4},
            [(0, 1, "damaged"), (2, 4, "damaged"), (5, 6, "damaged")],
        ),
        (
            (0, 2),
            {"dropped_black": 1, "dropped_too_short": 1},
            [(1, 2, "black"), (3, 4, "too_short")],
        ),
        (
            (0,),
            {"dropped_black": 2, "dropped_too_short": 1},
            [(1, 3, "black"), (3, 4, "too_short")],
        ),
        (
            (0, 2, 4),
            {"dropped_black": 1, "dropped_silent": 1},
            [(1, 2, "black/silent"), (3, 4, "black/silent")],
        ),
        ((), {"dropped_black": 9}, [(0, 9, "black")]),
        ((), {}, []),
    ],
)
def test_dropped_ranges(numbers, drops, expected) -> None:
    found = timeline(numbers, **drops)
    assert dropped(found) == expected
    assert found.drops == {name.removeprefix("dropped_"): n for name, n in drops.items()}


def test_a_requested_part_begins_later() -> None:
    found = timeline((5, 6), wanted_start_seconds=3.0, dropped_black=1)
    # The part begins at 3.0 s; the first whole clip after that is number 4, at 3.2 s.
    assert dropped(found) == [(4, 5, "black")]


def test_clips_of_shots_have_no_grid() -> None:
    recipe = toy_dataset.toy_recipe(clips="shots")
    found = timeline((0, 2, 3), recipe, (1, 11, 20), dropped_frozen=1, dropped_too_short=4)
    [run] = found.dropped
    assert (run.start_ns, run.end_ns) == (recipe.grid_ns(5), recipe.grid_ns(11))
    assert run.reasons == ("frozen",)
    assert found.num_short_shots == 4


def test_impossible_counts_do_not_grow_the_timeline() -> None:
    found = timeline((0, 2_000_000_000), dropped_black=3)
    assert [run.num_clips for run in found.dropped] == [3]
    found = timeline((1_000_000_000,), dropped_black=1)
    assert sum(run.num_clips for run in found.dropped) == 1


def test_filled_audio_and_shots(eventful: Dataset) -> None:
    catalog = Catalog(eventful)
    found = timeline_of(catalog.movie("heat"), catalog.clips_of("heat"), eventful.recipe)
    [run] = found.filled
    assert (run.start_ns, run.end_ns, run.filled_ns) == (4 * CLIP_NS, 6 * CLIP_NS, 310_000_000)
    assert [shot.shot_id for shot in found.shots] == [0, 2, 3, 4]
    assert [(run.first_row, run.num_clips) for run in found.kept] == [(0, 2), (2, 3), (5, 1)]


def test_filled_audio_is_not_drawn_across_dropped_clips() -> None:
    rows = [
        replace(
            toy_dataset.toy_row(RECIPE, "m", "m", number, 32, 48).at("s", place, 1, 0),
            filled_audio_ns=filled,
        )
        for place, (number, filled) in enumerate([(6, 300), (9, 100), (10, 50), (11, 0), (12, 7)])
    ]
    movie = row_values(_row(RECIPE, "m", len(rows), recipe_fingerprint=RECIPE.fingerprint))
    found = timeline_of({**movie, "dropped_silent": 2}, clips_table(rows), RECIPE)
    assert [
        (run.start_ns / CLIP_NS, run.end_ns / CLIP_NS, run.filled_ns) for run in found.filled
    ] == [
        (6, 7, 300),
        (9, 11, 150),
        (12, 13, 7),
    ]


def test_shot_lengths_add_up_to_the_time_of_the_clips(make_toy_dataset, tmp_path) -> None:
    dataset = make_toy_dataset(str(tmp_path / "d"), num_movies=3, clips_per_movie=[8, 5, 2])
    lengths = shot_lengths(dataset)
    # Two clips of 0.8 s each begin in a shot.
    assert np.allclose(np.sort(lengths), [0.8] + [1.6] * 7)


def listed(**reasons: str) -> pa.Table:
    """Rows of dropped clips; `_7="black"` for number 7."""
    drops = drops_of(RECIPE, {int(name[1:]): reason for name, reason in reasons.items()}, ())
    return dropped_table({"m": drops})


def test_listed_reasons_are_exact() -> None:
    drops = {"dropped_black": 2, "dropped_silent": 2, "dropped_damaged": 1}
    rows = listed(_1="silent", _3="black", _4="black", _5="silent", _6="damaged")
    assert dropped(timeline((0, 2, 7), listed=rows, **drops)) == [
        (1, 2, "silent"),
        (3, 5, "black"),
        (5, 6, "silent"),
        (6, 7, "damaged"),
    ]
    # All clips of a movie were dropped.
    found = timeline((), listed=listed(_0="black", _1="silent"), dropped_black=1, dropped_silent=1)
    assert dropped(found) == [(0, 1, "black"), (1, 2, "silent")]


def test_a_list_that_disagrees_with_the_counts_is_ignored() -> None:
    found = timeline((0, 2, 3), listed=listed(_1="black"), dropped_silent=1)
    assert dropped(found) == [(1, 2, "silent")]
    assert dropped(timeline((0, 1), listed=listed())) == []


def test_shots_that_are_too_short_have_a_place() -> None:
    recipe = toy_dataset.toy_recipe(clips="shots")
    short = DroppedClips(
        (-1, 1),
        (800_000_000, 1_200_000_000),
        (1_200_000_000, 2_000_000_000),
        ("too_short", "frozen"),
    )
    counts = {"dropped_too_short": 1, "dropped_frozen": 1}
    found = timeline((0,), recipe, (0,), dropped_table({"m": short}), **counts)
    assert [run.is_shot for run in found.dropped] == [True, False]
    assert found.num_short_shots == 0
