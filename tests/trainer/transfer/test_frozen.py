"""Probes and metrics on features with a known structure."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from trainer.transfer.frozen import (
    REGULARIZATIONS,
    chosen_regularization,
    inner_folds,
    knn_scores,
    linear_scores,
)
from trainer.transfer.scores import average_precision, score


def targets(labels: list[int], num_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), num_classes).bool()


def test_neighbors_vote_by_their_cosine() -> None:
    train = torch.tensor([[1.0, 0.0], [10.0, 1.0], [0.0, 1.0], [0.0, 3.0]])
    test = torch.tensor([[2.0, 0.1], [0.1, 5.0]])
    scores = knn_scores(train, targets([0, 0, 1, 1], 3), test, neighbors=2, temperature=0.07)
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64))
    # More neighbors than files: all vote, the nearer ones more.
    scores = knn_scores(train, targets([0, 0, 1, 1], 3), test, neighbors=9, temperature=0.5)
    assert scores.argmax(dim=1).tolist() == [0, 1]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(2, dtype=torch.float64))
    cosines = torch.nn.functional.normalize(test, dim=1) @ torch.nn.functional.normalize(train).T
    weights = (cosines.double() / 0.5).exp()
    expected = weights[:, :2].sum(dim=1) / weights.sum(dim=1)
    torch.testing.assert_close(scores[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_a_linear_probe_finds_a_direction() -> None:
    random = torch.Generator().manual_seed(0)
    labels = [0, 1, 2] * 20
    features = torch.randn(60, 8, generator=random)
    features[:, :3] += 4 * targets(labels, 3).float()
    scores = linear_scores(features[:30], targets(labels[:30], 3), features[30:], 1e-2, many=False)
    assert score(scores, targets(labels[30:], 3), many=False)["top1"] == 1.0


def test_a_linear_probe_finds_several_labels() -> None:
    random = torch.Generator().manual_seed(1)
    both = torch.rand(80, 4, generator=random) < 0.4
    features = both.float() * 3 + 0.3 * torch.randn(80, 4, generator=random)
    scores = linear_scores(features[:50], both[:50], features[50:], 1e-2, many=True)
    assert score(scores, both[50:], many=True)["map"] > 0.99


def test_regularization_is_strong_for_noise_and_weak_for_signal() -> None:
    """Few files with many useless features need a strong one; exact small features a weak one."""
    random = torch.Generator().manual_seed(3)
    labels = [0, 1] * 40
    groups = [f"group {number}" for number in range(80)]
    noisy = torch.randn(80, 60, generator=random)
    noisy[:, 0] += 1.2 * (2 * torch.tensor(labels) - 1)
    strong = chosen_regularization(noisy, targets(labels, 2), groups, num_folds=5, many=False)
    # Classes by a narrow band of one feature, hidden in the sum of two others.
    wide = torch.randn(80, 1, generator=random) * 5
    sign = (2 * torch.tensor(labels) - 1)[:, None].float()
    hidden = torch.cat((wide, wide + 0.05 * sign), dim=1)
    weak = chosen_regularization(hidden, targets(labels, 2), groups, num_folds=5, many=False)
    assert weak < strong
    assert strong >= 1e-1
    # Nothing to choose by.
    same = chosen_regularization(hidden, targets(labels, 2), ["one"] * 80, num_folds=5, many=False)
    assert same == REGULARIZATIONS[2]


def test_groups_are_not_divided_between_inner_folds() -> None:
    groups = [f"g{number % 7}" for number in range(50)]
    folds = inner_folds(groups, 5)
    assert set(folds) == set(range(5))
    by_group = {
        group: {f for f, g in zip(folds, groups, strict=True) if g == group} for group in groups
    }
    assert all(len(found) == 1 for found in by_group.values())
    # Two groups and five folds: two are used.
    assert len(set(inner_folds(["a", "a", "b"], 5))) == 2


def precision_by_counting(scores: list[float], positive: list[bool]) -> float:
    found = []
    for own, is_positive in zip(scores, positive, strict=True):
        if is_positive:
            above = [p for s, p in zip(scores, positive, strict=True) if s >= own]
            found.append(sum(above) / len(above))
    return sum(found) / len(found)


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_that_of_counting(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    # Few different values: ties.
    scores = random.integers(0, 5, count).astype(float)
    positive = random.random(count) < 0.4
    positive[random.integers(count)] = True
    expected = precision_by_counting(scores.tolist(), positive.tolist())
    found = average_precision(torch.from_numpy(scores), torch.from_numpy(positive))
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_constant_answer_has_chance() -> None:
    for labels in itertools.islice(itertools.product((0, 1), repeat=5), 1, 31):
        found = score(torch.zeros(5, 2), targets(list(labels), 2), many=False)
        assert found["chance"] == max(labels.count(0), labels.count(1)) / 5
        assert found["top1"] == labels.count(0) / 5
        assert found["class_mean"] == 0.5
    many = torch.tensor([[True, False], [False, False], [True, False], [False, False]])
    # A class without a test file has no precision.
    assert score(torch.zeros(4, 2), many, many=True) == {"map": 0.5, "chance": 0.5}


def test_metrics_of_single_labels() -> None:
    scores = torch.eye(7)[[0, 0, 1, 2]] - 0.01 * torch.arange(7)
    found = score(scores, targets([0, 0, 1, 6], 7), many=False)
    assert found == {"top1": 0.75, "top5": 0.75, "class_mean": pytest.approx(2 / 3), "chance": 0.5}
