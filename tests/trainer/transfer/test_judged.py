"""Planted structure that `benchmarks.transfer.judged` has to find."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.transfer.judged.__main__ import mean_by_owner
from benchmarks.transfer.judged.agreement import (
    NEAR_SECONDS,
    Layout,
    Score,
    neighbor_score,
    tag_score,
)
from benchmarks.transfer.judged.page import ARM_ORDER, FIGURES, ROWS, effect, of_json, page, to_json

NUM_CLIPS, CLIP_SECONDS, BLOCK_SECONDS = 400, 1.6, 60.0


@pytest.fixture
def layout() -> Layout:
    seconds = np.arange(NUM_CLIPS) * CLIP_SECONDS
    return Layout((seconds // BLOCK_SECONDS).astype(np.int64), seconds)


def test_a_probe_finds_tags_that_features_encode_and_is_at_chance_otherwise(
    layout: Layout,
) -> None:
    random = np.random.default_rng(0)
    tags = random.random((NUM_CLIPS, 6)) < 0.2
    noise = random.normal(size=(NUM_CLIPS, 6))
    of_tags = tag_score(torch.from_numpy(tags + 0.05 * noise), tags, layout)
    of_noise = tag_score(torch.from_numpy(noise), tags, layout)
    assert of_tags.value > 0.99
    assert of_noise.value == pytest.approx(of_noise.chance, abs=0.06)
    assert of_tags.num_tags == 6
    total, weight = np.sum(list(of_tags.by_block.values()), axis=0)
    assert total / weight == pytest.approx(of_tags.value)


def test_a_probe_is_not_asked_for_what_most_clips_have_nor_for_rare_tags(layout: Layout) -> None:
    random = np.random.default_rng(0)
    tags = random.random((NUM_CLIPS, 3)) < np.array([0.2, 0.6, 0.003])
    assert (
        tag_score(torch.from_numpy(random.normal(size=(NUM_CLIPS, 4))), tags, layout).num_tags == 1
    )


def test_clips_near_an_evaluated_one_do_not_train_its_probe(layout: Layout) -> None:
    """Only clips across a border between folds share a feature that predicts the tag."""
    near = layout.near().numpy()
    fold = layout.block % 5
    for number in range(5):
        is_train = (fold != number) & ~near[:, fold == number].any(axis=1)
        distance = np.abs(layout.seconds[is_train][:, None] - layout.seconds[fold == number])
        assert distance.min() >= NEAR_SECONDS
    # A feature of its own for the clips around each border between folds.
    borders = np.flatnonzero(np.diff(layout.block))
    tags, features = np.zeros((NUM_CLIPS, 1), bool), np.zeros((NUM_CLIPS, len(borders)))
    for number, border in enumerate(borders):
        tags[border - 2 : border + 4] = True
        features[border - 2 : border + 4, number] = 1
    found = tag_score(torch.from_numpy(features), tags, layout)
    assert found.value == pytest.approx(found.chance, abs=0.05)


def test_neighbors_of_the_judges_own_features_score_one_and_random_ones_zero(
    layout: Layout,
) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(NUM_CLIPS, 8))
    # Standardized as features are, the judge's own logits keep their order.
    logits = (logits - logits.mean(axis=0)) / logits.std(axis=0)
    assert neighbor_score(torch.from_numpy(logits), logits, layout).value == pytest.approx(1)
    other = torch.from_numpy(random.normal(size=(NUM_CLIPS, 8)))
    assert neighbor_score(other, logits, layout).value == pytest.approx(0, abs=0.06)


def test_a_neighbor_is_never_of_the_same_block_nor_near(layout: Layout) -> None:
    """Features tell nothing but the time, and logits change with the block: neighbors in time would
    be perfect."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(layout.block.max() + 1, 8))[layout.block]
    angle = layout.seconds / layout.seconds.max() * np.pi / 2
    time = torch.from_numpy(np.stack((np.cos(angle), np.sin(angle)), axis=1))
    assert neighbor_score(time, logits, layout).value < 0.5


def test_an_effect_is_paired_by_seed_and_covers_blocks() -> None:
    def score(value: float, blocks: tuple[float, ...]) -> Score:
        by_block = {str(number): [one * 10, 10.0] for number, one in enumerate(blocks)}
        return Score(value, 0.0, 1, by_block)

    before = {0: score(0.2, (0.1, 0.3)), 1: score(0.6, (0.5, 0.7))}
    after = {0: score(0.3, (0.2, 0.4)), 1: score(0.7, (0.6, 0.8))}
    found = effect(before, after)
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.movie_low, found.movie_high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.is_above
    # One block gains, the other loses: not clear.
    mixed = {seed: score(one.value, (0.4, 0.3)) for seed, one in after.items()}
    assert not effect({0: score(0.2, (0.1, 0.3)), 1: score(0.6, (0.1, 0.8))}, mixed).is_clear


def test_features_of_windows_are_averaged_by_file() -> None:
    windows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    means = mean_by_owner(windows, torch.tensor([1, 1, 0]), 2)
    assert means.tolist() == [[10.0, 20.0], [2.0, 3.0]]


def test_the_page_of_a_file_has_every_arm_and_says_what_is_clear() -> None:
    def score(value: float) -> Score:
        return Score(value, 0.1, 2, {"000": [value, 1.0], "001": [value, 1.0]})

    # Each arm is better than the one before, by the same on both seeds and blocks.
    arms = {
        arm: {seed: score(round(0.2 + seed / 10 + at / 100, 6)) for seed in (0, 1)}
        for at, arm in enumerate(ARM_ORDER)
    }
    scores = {"drawn": {(row, figure): arms for row in ROWS for figure in FIGURES}}
    about = {"made": "today", "seconds": 1.0, "sizes": {"movie": 9}, "most": {"seen": ["hare 3"]}}
    values = json.loads(json.dumps(to_json(scores, about)))
    assert of_json(values) == scores
    text = page(values)
    for row in ROWS:
        assert f"{row.title[1:]}" in text
    assert text.count("| drawn | k = 16 instead of 1 | **+0.020 (") == len(ROWS)
    assert text.count("| - | chance | 0.100 (2 tags) | 0 |") == len(ROWS)
