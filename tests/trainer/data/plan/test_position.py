"""The saved position in the data."""

from __future__ import annotations

import dataclasses

import pytest

from shards_spec.errors import InputError
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.position import PlanState


def test_state_survives_json_and_names_each_difference() -> None:
    state = PlanState(epoch=3, step=7, seed=1, index_fingerprint="abc", policy=BatchPolicy())
    assert PlanState.from_json(state.to_json()) == state
    state.check(dataclasses.replace(state, epoch=0, step=0))
    other = PlanState(
        epoch=3,
        step=7,
        seed=2,
        index_fingerprint="abd",
        policy=BatchPolicy(clips_per_movie=4),
    )
    with pytest.raises(InputError) as caught:
        state.check(other)
    for part in ("seed was 1, is 2", "'abc', is 'abd'", "policy.clips_per_movie was 8, is 4"):
        assert part in str(caught.value)
    assert "policy.where" not in str(caught.value)
    with pytest.raises(InputError, match="corrupt"):
        PlanState.from_json({"epoch": 1})


def test_a_grown_dataset_starts_with_the_next_epoch() -> None:
    state = PlanState(epoch=3, step=7, seed=1, index_fingerprint="abc", policy=BatchPolicy())
    assert state.on_appended("abc") == state
    grown = state.on_appended("abd")
    assert grown == dataclasses.replace(state, epoch=4, step=0, index_fingerprint="abd")
    unused = dataclasses.replace(state, step=0)
    assert unused.on_appended("abd").epoch == 3, "an epoch that no step has used is not lost"
