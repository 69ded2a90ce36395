"""Clip order: always a permutation, and spread better than a random one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards_spec.order import run_gaps_ns, stratified_order


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 2**63 - 1))
def test_is_a_permutation(num_clips, seed):
    assert sorted(stratified_order(num_clips, seed).tolist()) == list(range(num_clips))


@pytest.mark.parametrize("num_clips", [0, 1, 2, 15, 16, 17])
def test_short_movies(num_clips):
    assert sorted(stratified_order(num_clips, 7).tolist()) == list(range(num_clips))


def test_depends_only_on_its_seed():
    assert stratified_order(100, 1).tolist() == stratified_order(100, 1).tolist()
    assert stratified_order(100, 1).tolist() != stratified_order(100, 2).tolist()


@pytest.mark.parametrize("num_clips", [100, 500, 2000])
def test_runs_are_spread_better_than_at_random(num_clips):
    ours = run_gaps_ns(stratified_order(num_clips, 0))
    plain = run_gaps_ns(np.random.default_rng(0).permutation(num_clips))
    assert ours.min() >= plain.min()
    assert np.median(ours) >= 4 * np.median(plain)


def test_run_gaps():
    assert run_gaps_ns(np.array([0, 50, 10, 100]), run=2).tolist() == [50, 40, 90]
    assert run_gaps_ns(np.array([0, 50, 10, 100]), run=3).tolist() == [10, 40]
    assert run_gaps_ns(np.array([5, 8]), run=16).tolist() == [3]
    assert run_gaps_ns(np.array([5]), run=16).tolist() == []
