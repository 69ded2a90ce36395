"""What the loss remembers: the within-movie weight, the queue, the bias; and that runs resume."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.data.plan import BatchPolicy
from trainer.models import Embeddings
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.runs.journal.metric_log import read_metrics
from trainer.runs.learning.loss import ClipOrigins, Criterion, LossOutput
from trainer.runs.learning.loss.mass import MAX_WEIGHT, WithinWeight
from trainer.runs.learning.loss.queue import MemoryQueue
from trainer.settings import LossConfig
from trainer.train import train

SIZE = 16


def clips(
    num_movies: int, num_clips: int, seed: int = 0, likeness: float = 1.0
) -> tuple[Embeddings, ClipOrigins]:
    """m x k clips whose embeddings share a direction with their movie's others."""
    generator = torch.Generator().manual_seed(seed)
    movie = torch.arange(num_movies).repeat_interleave(num_clips)
    look = torch.randn(num_movies, SIZE, generator=generator)[movie] * likeness
    video, audio = (
        functional.normalize(look + torch.randn(len(movie), SIZE, generator=generator), dim=1)
        for _ in range(2)
    )
    start = torch.arange(len(movie)) * 1_000_000_000
    return Embeddings(video, audio, torch.tensor(6.0)), ClipOrigins(movie, movie, start, start)


@pytest.mark.parametrize(
    ("objective", "m", "k", "target"),
    [
        ("infonce", 16, 4, 0.5),
        ("infonce", 8, 8, 0.5),
        ("infonce", 4, 16, 0.5),
        ("infonce", 2, 31, 0.2),
        ("infonce", 31, 2, 0.7),
        ("siglip", 16, 4, 0.5),
        ("siglip", 4, 16, 0.3),
        ("hard", 16, 4, 0.5),
        ("hard", 4, 16, 0.4),
        ("debiased", 16, 4, 0.5),
        ("debiased", 4, 16, 0.3),
    ],
)
def test_within_movie_negatives_get_their_share_for_every_policy(
    objective: str, m: int, k: int, target: float
) -> None:
    config = LossConfig(objective=objective, within_mass=target, initial_bias=-3.0)  # type: ignore[arg-type]
    criterion = Criterion(config, SIZE)
    masses = []
    for step in range(120):
        output: LossOutput = criterion(*clips(m, k, step))
        masses.append(float(output.diagnostics.within_softmax_mass))
    assert sum(masses[-20:]) / 20 == pytest.approx(target, abs=0.03)


def test_the_weight_never_overshoots_on_unchanging_batches() -> None:
    for seed, likeness in enumerate((0.0, 0.5, 1.0, 3.0)):
        criterion = Criterion(LossConfig(within_mass=0.5), SIZE)
        batch = clips(8, 4, seed, likeness)
        seen = [criterion(*batch).diagnostics for _ in range(80)]
        distance = [0.5 - float(step.within_softmax_mass) for step in seen]
        assert all(abs(b) <= abs(a) + 1e-6 for a, b in itertools.pairwise(distance))
        assert all(a * b >= -1e-9 for a, b in itertools.pairwise(distance))


def test_the_metrics_have_the_weight_of_their_step() -> None:
    criterion = Criterion(LossConfig(within_mass=0.5, within_weight=3.0), SIZE)
    first, second = (criterion(*clips(8, 4)).diagnostics for _ in range(2))
    assert float(first.within_weight) == pytest.approx(3.0)
    assert criterion.within is not None
    assert float(second.within_weight) != pytest.approx(3.0)
    constant = Criterion(LossConfig(within_weight=3.0), SIZE)
    assert float(constant(*clips(8, 4)).diagnostics.within_weight) == 3.0


def test_batches_without_within_movie_mass_leave_the_weight() -> None:
    weight = WithinWeight(2.0, 0.5)
    before = weight.log_weight.clone()
    for mass in (0.0, math.nan):
        weight.update(torch.tensor(mass))
        assert torch.equal(weight.log_weight, before)


def test_the_weight_is_bounded() -> None:
    weight = WithinWeight(1.0, 0.5)
    for _ in range(1000):
        weight.update(torch.tensor(1e-9))
    assert float(weight.log_weight.exp()) == pytest.approx(MAX_WEIGHT, rel=1e-5)
    for _ in range(2000):
        weight.update(torch.tensor(1.0))
    assert float(weight.log_weight.exp()) == pytest.approx(1 / MAX_WEIGHT, rel=1e-5)


def test_the_queue_keeps_the_last_clips() -> None:
    queue = MemoryQueue(5, 1)
    for first in (0, 3, 6):
        numbers = torch.arange(first, first + 3)
        queue.push(numbers[:, None].float(), -numbers[:, None].float(), numbers.repeat(4, 1))
    assert sorted(queue.video[:, 0].tolist()) == [4, 5, 6, 7, 8]
    assert torch.equal(queue.audio, -queue.video)
    assert all(torch.equal(row, queue.video[:, 0].long()) for row in queue.origins)


def test_queued_clips_are_negatives_except_the_clip_itself() -> None:
    embeddings, origins = clips(3, 2)
    criterion = Criterion(LossConfig(queue_clips=9, within_weight=4.0), SIZE)
    plain = Criterion(LossConfig(within_weight=4.0), SIZE)
    # Empty slots are not negatives.
    assert torch.equal(criterion(embeddings, origins).loss, plain(embeddings, origins).loss)
    found = float(criterion(embeddings, origins).loss)
    total = 0.0
    for rows, columns in (
        (embeddings.video, embeddings.audio),
        (embeddings.audio, embeddings.video),
    ):
        power = (6.0 * rows.double() @ columns.double().T).exp().tolist()
        for i in range(6):
            below = power[i][i]
            for j in range(6):
                # Once from the batch and once from the queue, which holds the same clips.
                weight = 4.0 if i // 2 == j // 2 else 1.0
                below += 2 * weight * power[i][j] if j != i else 0.0
            total -= math.log(power[i][i] / below)
    assert found == pytest.approx(total / 12, rel=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        LossConfig(positives="movie"),
        LossConfig(objective="siglip"),
        LossConfig(objective="hard", positive_prior=0.2),
        LossConfig(objective="debiased", within_weight=3.0),
    ],
)
def test_empty_slots_of_the_queue_change_nothing(config: LossConfig) -> None:
    embeddings, origins = clips(3, 2)
    queued = dataclasses.replace(config, queue_clips=50)
    found, plain = (Criterion(one, SIZE)(embeddings, origins) for one in (queued, config))
    torch.testing.assert_close(found.loss, plain.loss)
    torch.testing.assert_close(
        found.diagnostics.stacked(), plain.diagnostics.stacked(), equal_nan=True
    )


def test_guards_act_on_queued_clips() -> None:
    embeddings, origins = clips(3, 2)
    shared = {"queue_clips": 6}
    guarded = Criterion(LossConfig(guard_seconds=1e6, **shared), SIZE)  # type: ignore[arg-type]
    for _ in range(2):
        output = guarded(embeddings, origins)
    assert float(output.diagnostics.guarded_share) == 1.0
    assert float(output.diagnostics.within_softmax_mass) == 0.0


def test_a_second_view_adds_the_terms_within_each_modality() -> None:
    first, origins = clips(3, 2)
    second, _ = clips(3, 2, seed=5)
    config = LossConfig(within_modal=0.5)
    found = float(Criterion(config, SIZE)(first, origins, second).loss)
    plain = Criterion(LossConfig(), SIZE)
    cross = [float(plain(view, origins).loss) for view in (first, second)]
    # A criterion compares `video` with `audio`: here the two views of one modality.
    within = [
        float(plain(Embeddings(one, other, first.scale), origins).loss)
        for one, other in ((first.video, second.video), (first.audio, second.audio))
    ]
    assert found == pytest.approx(sum(cross) / 2 + 0.5 * sum(within) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"objective": "cosine"}, "loss.objective"),
        ({"within_mass": 1.0}, "loss.within-mass"),
        ({"within_mass": -0.1}, "loss.within-mass"),
        ({"within_mass": math.nan}, "loss.within-mass"),
        ({"hardness": -1.0}, "loss.hardness"),
        ({"hardness": math.inf}, "loss.hardness"),
        ({"positive_prior": 1.0}, "loss.positive-prior"),
        ({"within_modal": math.nan}, "loss.within-modal"),
        ({"initial_bias": math.inf}, "loss.initial-bias"),
        ({"guard_similarity": 1.5}, "loss.guard-similarity"),
        ({"guard_similarity": math.nan}, "loss.guard-similarity"),
        ({"queue_clips": -1}, "loss.queue-clips"),
        ({"positives": "movie", "within_mass": 0.5}, "loss.within-mass"),
        ({"positives": "movie", "objective": "siglip"}, "loss.objective"),
    ],
)
def test_impossible_settings_are_rejected_by_flag(settings: dict[str, object], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        LossConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loss", "m", "k", "flag"),
    [
        (LossConfig(within_mass=0.5), 8, 1, "loss.within-mass"),
        (LossConfig(within_mass=0.5), 1, 8, "loss.within-mass"),
        (LossConfig(guard_similarity=0.5), 1, 8, "loss.guard-similarity"),
        (LossConfig(queue_clips=31), 4, 8, "loss.queue-clips"),
    ],
)
def test_batches_that_do_not_suit_the_loss_are_rejected(
    loss: LossConfig, m: int, k: int, flag: str
) -> None:
    with pytest.raises(InputError, match=flag):
        TrainConfig(policy=BatchPolicy(movies_per_batch=m, clips_per_movie=k), loss=loss)


RESUMED = {
    "mass": LossConfig(within_mass=0.5),
    "siglip with everything": LossConfig(
        objective="siglip",
        within_mass=0.3,
        queue_clips=40,
        within_modal=0.5,
        guard_similarity=0.9,
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param("mass", marks=pytest.mark.slow), "siglip with everything"]
)
def test_a_resumed_run_equals_an_uninterrupted_run(
    name: str, toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, loss=RESUMED[name], steps=6, accumulate=2)
    uri = toy_data.storage.uri
    train(uri, tmp_path / "straight", config)
    train(uri, tmp_path / "resumed", dataclasses.replace(config, stop_at_step=3))
    train(uri, tmp_path / "resumed", config)
    straight, resumed = (newest_checkpoint(tmp_path / run) for run in ("straight", "resumed"))
    assert straight is not None
    assert resumed is not None
    assert straight.loss
    for one, other in ((straight.loss, resumed.loss), (straight.model, resumed.model)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    weights = [line["train/within_weight"] for line in read_metrics(tmp_path / "straight")]
    assert len(set(weights)) > 1
