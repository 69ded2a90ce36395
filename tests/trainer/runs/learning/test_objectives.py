"""Every loss against its twin: the published formula in NumPy, in float64, pair by pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainer.runs.learning.loss import ClipOrigins, Pairs
from trainer.runs.learning.loss.objectives import (
    Rows,
    hard_negatives,
    info_nce,
    objective,
    other_clips,
    siglip,
)
from trainer.settings import LossConfig, Positives

Array = NDArray[np.float64]
NUM = 6


def pairs_of(movie: list[int], config: LossConfig, queued: list[int] | None = None) -> Pairs:
    """Clips of these movies, two seconds apart; the queue's are from other times."""
    group = torch.tensor(movie)
    start = torch.arange(len(movie)) * 2_000_000_000
    origins = ClipOrigins(group, group, torch.arange(len(movie)), start)
    if queued is None:
        return Pairs.of(origins, config)
    columns = torch.tensor(queued)
    times = torch.arange(len(queued)) * 2_000_000_000 + 500_000_000
    return Pairs.of(origins, config, None, torch.stack((columns, columns, columns - 1, times)))


def cosines(seed: int, num_columns: int = NUM) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(NUM, num_columns, generator=generator) * 1.8 - 0.9


def weights(pairs: Pairs) -> Array:
    """The weight of every pair as a negative."""
    weight: Array = pairs.log_weight.double().exp().numpy()
    for row, column in enumerate(pairs.target.tolist()):
        weight[row, column] = 0.0
    return weight


def twin_info_nce(s: float, negatives: Array, w: Array) -> tuple[float, Array]:
    below = math.exp(s) + float(sum(w * np.exp(negatives)))
    return -math.log(math.exp(s) / below), w * np.exp(negatives) / below


def twin_siglip(s: float, negatives: Array, w: Array, bias: float) -> tuple[float, Array]:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    loss = -math.log(sigmoid(s + bias))
    for one, weight in zip(negatives, w, strict=True):
        loss -= weight * math.log(sigmoid(-(one + bias)))
    shares = np.array([weight * sigmoid(x + bias) for x, weight in zip(negatives, w, strict=True)])
    return loss, shares / (shares.sum() + sigmoid(s + bias))


def twin_hard(
    s: float, negatives: Array, w: Array, hardness: float, prior: float, scale: float
) -> tuple[float, Array]:
    """Robinson et al., with importance weights of mean 1; at hardness 0 Chuang et al."""
    count = w.sum()
    importance = np.exp(hardness * negatives)
    importance = importance / ((w * importance).sum() / count)
    shares = w * importance * np.exp(negatives)
    rest = (shares.sum() - prior * count * math.exp(s)) / (1 - prior)
    rest = max(rest, count * math.exp(-scale))
    mass = rest / (rest + math.exp(s))
    return -math.log(math.exp(s) / (math.exp(s) + rest)), mass * shares / shares.sum()


CASES: dict[str, tuple[Callable[..., Rows], Callable[..., tuple[float, Array]]]] = {
    "infonce": (lambda c, t, p: info_nce(c, t, p), lambda s, n, w, t: twin_info_nce(s, n, w)),
    "siglip": (
        lambda c, t, p: siglip(c, t, p, torch.tensor(-2.5)),
        lambda s, n, w, t: twin_siglip(s, n, w, -2.5),
    ),
    "debiased": (
        lambda c, t, p: hard_negatives(c, t, p, 0.0, 0.05),
        lambda s, n, w, t: twin_hard(s, n, w, 0.0, 0.05, t),
    ),
    "hard": (
        lambda c, t, p: hard_negatives(c, t, p, 0.7, 0.05),
        lambda s, n, w, t: twin_hard(s, n, w, 0.7, 0.05, t),
    ),
    "hard, no false negatives": (
        lambda c, t, p: hard_negatives(c, t, p, 1.5, 0.0),
        lambda s, n, w, t: twin_hard(s, n, w, 1.5, 0.0, t),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [1.0, 6.0, 14.0])
@pytest.mark.parametrize("has_queue", [False, True])
def test_a_loss_is_its_formula(name: str, scale: float, has_queue: bool) -> None:
    ours, twin = CASES[name]
    queued = [1, 7, -1, 0] if has_queue else None
    config = LossConfig(within_weight=2.5, guard_seconds=3.0)
    pairs = pairs_of([0, 0, 0, 1, 1, 2], config, queued)
    for seed in range(4):
        cosine = cosines(seed, NUM + len(queued or []))
        rows = ours(cosine, torch.tensor(scale), pairs)
        weight = weights(pairs)
        for row in range(NUM):
            logits = scale * cosine[row].double().numpy()
            loss, mass = twin(logits[row], logits, weight[row], scale)
            assert float(rows.loss[row]) == pytest.approx(loss, rel=2e-4, abs=1e-5)
            assert rows.mass[row].numpy() == pytest.approx(mass, rel=2e-3, abs=1e-5)


def test_positives_of_the_movie_are_their_formula() -> None:
    pairs = pairs_of([0, 0, 0, 1, 1, 1], LossConfig(positives="movie"))
    cosine = cosines(1)
    rows = other_clips(cosine, torch.tensor(3.0), pairs)
    power = np.exp(3.0 * cosine.double().numpy())
    movie = [0, 0, 0, 1, 1, 1]
    for row in range(NUM):
        near = [j for j in range(NUM) if movie[j] == movie[row] and j != row]
        others = sum(power[row, j] for j in range(NUM) if movie[j] != movie[row])
        expected = np.mean([-math.log(power[row, j] / (power[row, j] + others)) for j in near])
        assert float(rows.loss[row]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("positives", "expected"),
    # Clips 0, 1, 2 and 3, 4, 5, two seconds apart; the first of equally far ones counts.
    [("near", [1, 0, 1, 4, 3, 4]), ("far", [2, 0, 0, 5, 3, 3])],
)
def test_the_nearest_or_farthest_clip_is_the_positive(
    positives: Positives, expected: list[int]
) -> None:
    pairs = pairs_of([0, 0, 0, 1, 1, 1], LossConfig(positives=positives))
    assert pairs.other.nonzero().tolist() == [[row, at] for row, at in enumerate(expected)]
    config, cosine, scale = LossConfig(positives=positives), cosines(2), torch.tensor(3.0)
    loss = objective(cosine, scale, pairs, config).loss
    power = (scale * cosine).exp()
    for row, at in enumerate(expected):
        others = power[row, 3:].sum() if row < 3 else power[row, :3].sum()
        assert float(loss[row]) == pytest.approx(
            -math.log(power[row, at] / (power[row, at] + others)), rel=1e-5
        )


def test_clips_of_another_movie_of_the_group_are_farther_than_any() -> None:
    group, movie = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 2, 2])
    origins = ClipOrigins(group, movie, torch.arange(5), torch.tensor([0, 900, 1, 5, 6]))
    near, far = (Pairs.of(origins, LossConfig(positives=end)).other for end in ("near", "far"))
    assert near.nonzero()[:, 1].tolist() == [1, 0, 0, 4, 3]
    assert far.nonzero()[:, 1].tolist() == [2, 2, 0, 4, 3]


def test_a_clip_without_another_of_its_movie_has_no_positive() -> None:
    for end in ("near", "far"):
        pairs = pairs_of([0, 0, 1], LossConfig(positives=end))
        assert pairs.other.sum(dim=1).tolist() == [1, 1, 0]


def test_without_hardness_and_prior_the_hard_loss_is_info_nce() -> None:
    pairs, scale = pairs_of([0, 0, 1, 1, 2, 2], LossConfig(within_weight=3.0)), torch.tensor(9.0)
    for seed in range(4):
        plain, other = (
            loss(cosines(seed), scale, pairs)
            for loss in (info_nce, lambda c, s, p: hard_negatives(c, s, p, 0.0, 0.0))
        )
        torch.testing.assert_close(plain.loss, other.loss)
        torch.testing.assert_close(plain.mass, other.mass)


def test_siglip_mass_is_the_softmax_where_the_bias_is_low() -> None:
    pairs, scale = pairs_of([0, 0, 1, 1, 2, 2], LossConfig(within_weight=3.0)), torch.tensor(4.0)
    found = siglip(cosines(0), scale, pairs, torch.tensor(-30.0)).mass
    torch.testing.assert_close(found, info_nce(cosines(0), scale, pairs).mass, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_a_weight_counts_as_so_many_pairs(name: str, weight: float) -> None:
    """Whatever the loss: of two within-movie negatives alike, one of weight 2 w takes the place."""
    ours, _ = CASES[name]
    twice = torch.tensor([[0.7, 0.4, 0.4, -0.2]])
    once = torch.tensor([[0.7, 0.4, -0.2]])
    results = []
    for cosine, value in ((twice, weight), (once, 2 * weight)):
        num = cosine.shape[1]
        within = torch.tensor([[False, *(True,) * (num - 2), False]])
        pairs = Pairs(
            first=0,
            target=torch.tensor([0]),
            num_batch=num,
            same=within,
            within=within,
            other=within,
            guarded=torch.zeros_like(within),
            log_weight=within * math.log(value),
        )
        rows = ours(cosine, torch.tensor(5.0), pairs)
        results.append(torch.stack((rows.loss[0], (rows.mass * within).sum())))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_at_extremes(name: str) -> None:
    ours, _ = CASES[name]
    pairs = pairs_of([0, 0, 0, 1, 1, 2], LossConfig(within_weight=1e-3))
    for scale, value in itertools.product((1e-3, 1.0, 100.0), (-1.0, 0.0, 1.0)):
        for off_diagonal in (-1.0, value, 1.0):
            cosine = torch.full((NUM, NUM), off_diagonal)
            cosine.fill_diagonal_(value).requires_grad_()
            factor = torch.tensor(scale, requires_grad=True)
            rows = ours(cosine, factor, pairs)
            rows.loss.sum().backward()
            assert bool(rows.loss.isfinite().all()), (scale, value, off_diagonal)
            assert bool(rows.mass.isfinite().all())
            assert cosine.grad is not None
            assert bool(cosine.grad.isfinite().all()), (scale, value, off_diagonal)
            assert factor.grad is not None
            assert bool(factor.grad.isfinite())


@pytest.mark.parametrize("name", CASES)
def test_rows_without_negatives_have_no_gradient_to_push_them(name: str) -> None:
    """Guards can remove all negatives of some rows of a batch of one movie."""
    ours, _ = CASES[name]
    pairs = pairs_of([0] * NUM, LossConfig(guard_seconds=1e6))
    cosine = cosines(0).requires_grad_()
    rows = ours(cosine, torch.tensor(5.0), pairs)
    rows.loss.sum().backward()
    assert cosine.grad is not None
    assert bool(cosine.grad.isfinite().all())
    assert not bool(cosine.grad[~torch.eye(NUM, dtype=torch.bool)].any())
    assert not bool(rows.mass.any())


def test_the_similarity_guard_removes_similar_clips_of_the_movie_only() -> None:
    pairs = pairs_of([0, 0, 0, 1, 1, 2], LossConfig())
    cosine = torch.full((NUM, NUM), 0.2)
    cosine[0, 1] = cosine[0, 4] = 0.9
    found = pairs.guarding(cosine, 0.5)
    assert found.guarded.nonzero().tolist() == [[0, 1]]
    assert found.log_weight.isneginf().nonzero().tolist() == [[0, 1]]
    assert pairs.guarding(cosine, 1.0) is pairs
    # The mask has no gradient of its own.
    cosine.requires_grad_()
    info_nce(cosine, torch.tensor(5.0), pairs.guarding(cosine, 0.5)).loss.sum().backward()
    assert cosine.grad is not None
    assert float(cosine.grad[0, 1]) == 0.0
    assert float(cosine.grad[0, 4]) > 0.0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LossConfig(), lambda c, s, p: info_nce(c, s, p)),
        (LossConfig(objective="hard"), lambda c, s, p: hard_negatives(c, s, p, 0.5, 0.01)),
        (LossConfig(objective="debiased"), lambda c, s, p: hard_negatives(c, s, p, 0.0, 0.01)),
        (LossConfig(objective="siglip"), lambda c, s, p: siglip(c, s, p, torch.tensor(-4.0))),
        (LossConfig(positives="movie"), lambda c, s, p: other_clips(c, s, p)),
    ],
)
def test_settings_choose_the_loss(config: LossConfig, expected: Callable[..., Rows]) -> None:
    pairs, scale = pairs_of([0, 0, 1, 1, 2, 2], config), torch.tensor(6.0)
    found = objective(cosines(2), scale, pairs, config, torch.tensor(-4.0))
    assert torch.equal(found.loss, expected(cosines(2), scale, pairs).loss)
