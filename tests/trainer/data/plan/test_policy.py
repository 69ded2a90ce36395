"""Batch policy, filter language, randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.errors import InputError
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.row_filter import columns_of, matching_rows
from trainer.data.randomness import draws, rng

TABLE = pa.table(
    {
        "motion": pa.array([0.5, 1.5, 2.5, 3.5], pa.float32()),
        "shot_id": pa.array([0, 1, 2, 3], pa.int32()),
        "movie_id": ["a", "b", "b", "c"],
        "good": [True, False, None, True],
    }
)


def test_rho_is_the_share_of_negatives_of_the_same_movie() -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=8)
    assert policy.batch_size == 32
    assert policy.rho == 7 / 31
    assert BatchPolicy(movies_per_batch=4, clips_per_movie=1).rho == 0.0
    assert BatchPolicy(movies_per_batch=1, clips_per_movie=1).rho == 0.0


@pytest.mark.parametrize(
    "fields",
    [
        {"movies_per_batch": 0},
        {"clips_per_movie": 0},
        {"reads_per_movie": 0},
        {"min_gap_seconds": -1.0},
        {"min_gap_seconds": float("nan")},
        {"group_by": "director"},
        {"split": "test"},
        {"weighting_exponent": 1.5},
        {"split": "heldout"},
        {"heldout_fraction": 1.0},
        {"where": "motion >"},
    ],
)
def test_policy_rejects_impossible_values(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"batch policy|where"):
        BatchPolicy(**fields)


@pytest.mark.parametrize(
    ("clips_per_movie", "reads_per_movie", "num_reads"),
    [(8, 4, 4), (2, 4, 2), (3, 4, 3), (6, 4, 3), (7, 4, 1), (1, 4, 1), (8, 3, 2), (8, 8, 8)],
)
def test_reads_follow_clips_per_movie(
    clips_per_movie: int, reads_per_movie: int, num_reads: int
) -> None:
    policy = BatchPolicy(clips_per_movie=clips_per_movie, reads_per_movie=reads_per_movie)
    assert policy.num_reads == num_reads
    assert policy.chunk_clips * num_reads == clips_per_movie


def test_policy_survives_json() -> None:
    policy = BatchPolicy(movies_per_batch=3, where="motion > 1", heldout_fraction=0.1)
    assert BatchPolicy.from_json(policy.to_json()) == policy
    with pytest.raises(InputError, match="newer"):
        BatchPolicy.from_json({**policy.to_json(), "clips_per_actor": 2})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("motion > 1", [1, 2, 3]),
        ("motion > 1 and movie_id != 'c'", [1, 2]),
        ("motion < 1 or movie_id == 'c'", [0, 3]),
        ("not (motion < 1 or movie_id == 'c')", [1, 2]),
        ("1 < motion < 3", [1, 2]),
        ("movie_id in ('a', 'c')", [0, 3]),
        ("movie_id not in ['a', 'c']", [1, 2]),
        ("shot_id in (1, 3) and shot_id > -1", [1, 3]),
        ("good", [0, 3]),
        ("not good", [1]),
        ("good == True or shot_id == 1", [0, 1, 3]),
        ("  motion\n > 3", [3]),
        ("True", [0, 1, 2, 3]),
        ("1 > 2", []),
    ],
)
def test_filter_selects_rows(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(matching_rows(TABLE, text)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("motion >", 9, "not a condition"),
        ("shot_id > 1 and motoin > 1", 17, "not a column of the index, which has: motion, shot_id"),
        ("shot_id > 1 and motion > 'x'", 17, "cannot be compared"),
        ("movie_id in ('a', motion)", 19, "not a column, a number or a string"),
        ("movie_id in 'a'", 13, "must be a list"),
        ("shot_id in ('a', 'b')", 1, "cannot be compared"),
        ("movie_id", 1, "of type string, not boolean"),
        ("movie_id is 'a'", 13, "operator"),
        ("__import__('os').system('true')", 1, "not a condition"),
        ("motion > open('x')", 10, "not a column, a number"),
        ("motion.__class__ == 1", 1, "not a column, a number"),
        ("movie_id == 'é' and motoin > 1", 21, "not a column"),
        ("motion > 1\nand motoin > 2", 16, "not a column"),
        ("[x for x in movie_id]", 1, "not a condition"),
        ("x for x in movie_id", 1, "not one condition"),
        ("motion > 1) or (motion < 2", 11, "not a condition"),
        ("motion > 1] or [motion < 2", 1, "not one condition"),
        ("motion > 1, motion < 2", 1, "not one condition"),
        ("# all", 1, "not one condition"),
    ],
)
def test_filter_errors_give_the_position(text: str, position: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        matching_rows(TABLE, text)
    assert f"at character {position} of" in str(caught.value)


def test_filter_rejects_input_that_would_exhaust_the_parser() -> None:
    with pytest.raises(InputError, match="characters"):
        matching_rows(TABLE, "motion > 1 and " * 1000 + "good")
    with pytest.raises(InputError):
        matching_rows(TABLE, "(" * 2000 + "good" + ")" * 2000)


def test_columns_of_a_filter() -> None:
    assert columns_of("motion > 1 and (shot_id < 3 or motion < 0)") == ["motion", "shot_id"]
    assert columns_of("") == []


def test_rng_depends_on_its_arguments_only() -> None:
    found = {
        tuple(rng(*arguments).integers(1 << 30, size=2).tolist())
        for arguments in [(0, 0), (0, 1), (1, 0), (0, 0, "a"), (0, 0, "a", 1), (0, 0, "a1")]
    }
    assert len(found) == 6
    assert rng(3, 4, "clip", "x").random() == rng(3, 4, "clip", "x").random()


def test_draws_are_uniform_and_independent() -> None:
    bounds = (17, 97)
    found = np.array([draws(bounds, 0, epoch, "crop", "x") for epoch in range(17 * 400)])
    assert found.min() == 0
    assert found.max(axis=0).tolist() == [16, 96]
    counts = np.bincount(found[:, 0])
    # Four standard deviations of a binomial count.
    assert np.abs(counts - 400).max() < 4 * 400**0.5
    assert abs(np.corrcoef(found.T)[0, 1]) < 4 / len(found) ** 0.5
    assert draws(bounds, 0, 1, "crop", "x") != draws(bounds, 0, 1, "crop", "y")
    assert draws((2**16,) * 8, 1, 2) == draws((2**16,) * 8, 1, 2)
