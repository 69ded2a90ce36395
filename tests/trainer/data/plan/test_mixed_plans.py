"""Plans of several datasets: shares of each batch, lengths of epochs, names, splits."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.errors import InputError, PolicyError
from tests.support.datasets.clip_tables import assert_sound, clips_table, index_of
from trainer.data.mix.mixed_dataset import Part
from trainer.data.mix.names import qualified, renamed
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.plan.dealing import quotas
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.sources.split import heldout_groups


def mixed_table(tables: list[pa.Table]) -> tuple[pa.Table, list[Part]]:
    """Tables of clips as `mix` joins them."""
    parts, renamed_tables, first = [], [], 0
    for number, table in enumerate(tables, start=1):
        for column in ("movie_id", "group", "shard"):
            table = renamed(table, column, lambda name, number=number: qualified(number, name))
        renamed_tables.append(table)
        parts.append(Part(number, f"file:///data-{number}", f"print-{number}", first, len(table)))
        first += len(table)
    return pa.concat_tables(renamed_tables).unify_dictionaries(), parts


def mixed_index(tables: list[pa.Table], policy: BatchPolicy) -> ClipIndex:
    table, parts = mixed_table(tables)
    return ClipIndex.from_table(table, policy, "mixed", None, parts)


def movies_by_dataset(index: ClipIndex, clips: np.ndarray) -> np.ndarray:
    """(S, D) movies of each dataset in each step."""
    dataset = index.dataset_of_group[index.group[index.positions(clips[:, :, 0])]]
    return np.stack([(dataset == number).sum(1) for number in range(len(index.datasets))], axis=1)


@pytest.mark.parametrize(
    ("sizes", "weights", "m", "settings"),
    [
        (([40] * 30, [30] * 20), (2.0, 1.0), 8, {}),
        (([40] * 30, [40] * 9), (5.0, 1.0), 4, {"reads_per_movie": 2}),
        (([50] * 20, [20] * 20, [35] * 8), (3.0, 2.0, 1.5), 7, {"weighting_exponent": 0.5}),
        (([9] * 50, [200] * 7), (), 6, {}),
        (([40] * 12, [40] * 12, [40] * 12, [40] * 12), (0.1, 1.0, 7.0, 0.3), 5, {}),
        (
            ([24] * 24, [24] * 30),
            (1.0, 2.0),
            4,
            {"group_by": "group", "episodes_per_group": 2, "clips_per_movie": 2},
        ),
    ],
)
def test_batches_have_the_shares_of_the_weights(
    sizes: tuple[list[int], ...],
    weights: tuple[float, ...],
    m: int,
    settings: dict[str, object],
) -> None:
    policy = BatchPolicy(
        movies_per_batch=m,
        data_weights=weights,
        **{"clips_per_movie": 4, **settings},  # type: ignore[arg-type]
    )
    tables = [clips_table(counts, per_group=3, per_shard=12) for counts in sizes]
    index = mixed_index(tables, policy)
    given = weights or tuple(float(sum(counts)) for counts in sizes)
    shares = m * np.array(given) / sum(given)
    for epoch in range(3):
        plan = plan_epoch(index, policy, 5, epoch)
        assert_sound(plan, index, policy)
        counts = movies_by_dataset(index, plan.clips)
        assert (counts.sum(axis=1) == m).all()
        assert (counts >= np.floor(shares)).all()
        assert (counts <= np.ceil(shares)).all()
        # Over the epoch the share is exact, to one movie; at any time it is close.
        steps = np.arange(1, plan.num_steps + 1)[:, None]
        error = np.abs(np.cumsum(counts, axis=0) - steps * shares)
        assert error[-1].max() < 1 + 1e-9
        assert error.max() < 2.5
    assert plan.unused.data_weights >= 0


def test_an_epoch_ends_when_a_dataset_is_used_up() -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=4, data_weights=(1.0, 1.0))
    index = mixed_index([clips_table([40] * 4), clips_table([40] * 40)], policy)
    plan = plan_epoch(index, policy, 0, 0)
    # Four movies of 10 units each last for 20 steps with two of them.
    assert plan.num_steps == 20
    assert plan.unused.data_weights == 40 * 40 - 20 * 2 * 4
    others = [set(plan_epoch(index, policy, 0, epoch).clips.ravel()) for epoch in range(2)]
    assert others[0] != others[1], "other clips are left out in the next epoch"


def test_shares_of_long_epochs_stay_close() -> None:
    shares = [Fraction(8 * weight, 19) for weight in (3, 5, 4, 7)]
    for steps, offset in ((1, 0.3), (2, 0.0), (977, 0.999999), (100_000, 0.5)):
        counts = quotas(shares, steps, offset)
        assert (counts.sum(axis=0) == 8).all()
        exact = np.array(shares, dtype=float)[:, None] * np.arange(1, steps + 1)
        assert np.abs(np.cumsum(counts, axis=1) - exact).max() < 5


#: SHA-256 of the rows of plans before several datasets were possible.
BEFORE = {
    BatchPolicy(movies_per_batch=4, clips_per_movie=4, reads_per_movie=2): "cf5a54f3a2de004f",
    BatchPolicy(movies_per_batch=3, clips_per_movie=6, weighting_exponent=0.3): "c96e9db34b7b9e67",
    BatchPolicy(
        movies_per_batch=2, clips_per_movie=3, group_by="group", episodes_per_group=2
    ): "e3f99c9692e69fdf",
}


@pytest.mark.parametrize(("policy", "digest"), BEFORE.items())
def test_plans_of_one_dataset_are_what_they_were(policy: BatchPolicy, digest: str) -> None:
    table = clips_table([30, 41, 17, 60, 25, 80, 33, 12, 9], per_group=3, per_shard=20)
    index = index_of(table, policy)
    rows = b"".join(plan_epoch(index, policy, 3, epoch).clips.tobytes() for epoch in range(3))
    assert hashlib.sha256(rows).hexdigest()[:16] == digest


def test_equal_ids_in_two_datasets_are_different_movies() -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=4)
    index = mixed_index([clips_table([20] * 3), clips_table([20] * 3)], policy)
    assert len(set(index.movie.tolist())) == 6
    assert index.group_names == ("1:m0000", "1:m0001", "1:m0002", "2:m0000", "2:m0001", "2:m0002")
    assert_sound(plan_epoch(index, policy, 0, 0), index, policy)


def test_filters_read_the_names_that_each_dataset_has() -> None:
    tables = [clips_table([20] * 3), clips_table([20] * 3)]
    for where in ("movie_id != 'm0001'", "group in ('g0000', 'g0002') and even == 1"):
        index = mixed_index(tables, BatchPolicy(movies_per_batch=2, where=where))
        assert [name for name in index.group_names if name.endswith("m0001")]
        used = {index.group_names[number] for number in index.group}
        assert used == {"1:m0000", "1:m0002", "2:m0000", "2:m0002"}


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_each_dataset_is_split_as_it_would_be_alone(fraction: float) -> None:
    tables = [clips_table([5] * 24, per_group=2), clips_table([5] * 9, per_group=3)]
    for split in ("train", "heldout"):
        policy = BatchPolicy(heldout_fraction=fraction, split=split)  # type: ignore[arg-type]
        mixed = mixed_index(tables, policy)
        alone = [index_of(table, policy) for table in tables]
        first = len(tables[0])
        assert mixed.row.tolist() == [*alone[0].row, *(alone[1].row + first)]


def test_groups_with_a_common_source_are_on_one_side() -> None:
    groups = [f"{dataset}:show-{number}" for dataset in (1, 2) for number in range(40)]
    heldout = dict(zip(groups, heldout_groups(groups, [], 0.5, are_qualified=True), strict=True))
    out = next(name for name in groups if heldout[name] and name.startswith("1:"))
    kept = next(name for name in groups if not heldout[name] and name.startswith("2:"))
    linked = heldout_groups(groups, [(out, kept)], 0.5, are_qualified=True)
    assert not linked[groups.index(out)]
    assert not linked[groups.index(kept)]


def test_wrong_weights_are_refused() -> None:
    tables = [clips_table([20] * 6), clips_table([20] * 6)]
    for bad in ((0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (float("inf"), 1.0)):
        with pytest.raises(InputError, match="data_weights"):
            BatchPolicy(data_weights=bad)
    policy = BatchPolicy(movies_per_batch=4, data_weights=(1.0, 2.0, 3.0))
    with pytest.raises(PolicyError, match="3 values for 2 datasets"):
        plan_epoch(mixed_index(tables, policy), policy, 0, 0)
    with pytest.raises(PolicyError, match="3 values for 1 datasets"):
        plan_epoch(index_of(tables[0], policy), policy, 0, 0)
    policy = BatchPolicy(movies_per_batch=8, clips_per_movie=4, data_weights=(7.0, 1.0))
    with pytest.raises(PolicyError, match=r"data-1: its share of a batch is 7 of 8 .* only 6"):
        plan_epoch(mixed_index(tables, policy), policy, 0, 0)
    policy = BatchPolicy(movies_per_batch=2, where="movie_id == 'm0005'")
    with pytest.raises(PolicyError, match="no clip of file:///data-2 is eligible"):
        plan_epoch(mixed_index([tables[0], clips_table([9])], policy), policy, 0, 0)
