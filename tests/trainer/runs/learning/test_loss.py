"""The contrastive loss: computed by hand, weighted, and equal on 1, 2 and 4 real processes."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional

from shards_spec.errors import InputError
from tests.support.launch.ranks import start_ranks
from tests.support.samples import mostly_slow
from trainer.config import TrainConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.models.two_towers import Embeddings
from trainer.runs.learning.loss import ClipOrigins, Criterion, LossOutput, contrastive_loss
from trainer.settings import LossConfig

NUM_CLIPS, SIZE = 8, 6

CONFIGS = {
    "weight": LossConfig(within_weight=3.0),
    "guards": LossConfig(within_weight=2.0, guard_shots=True),
    "movie": LossConfig(positives="movie"),
    "mass": LossConfig(within_mass=0.4),
    "queue": LossConfig(within_weight=2.0, queue_clips=12, guard_seconds=1.5),
    "siglip": LossConfig(objective="siglip", within_mass=0.4, initial_bias=-3.0),
    "hard": LossConfig(objective="hard", within_weight=3.0, queue_clips=8),
    "debiased": LossConfig(objective="debiased", guard_similarity=0.3),
    "within-modal": LossConfig(within_modal=0.5, within_mass=0.3, queue_clips=8),
}


def batch(seed: int = 0) -> tuple[Embeddings, torch.Tensor]:
    """Eight clips of four movies, in float32."""
    generator = torch.Generator().manual_seed(seed)
    video = functional.normalize(torch.randn(NUM_CLIPS, SIZE, generator=generator), dim=1)
    audio = functional.normalize(torch.randn(NUM_CLIPS, SIZE, generator=generator), dim=1)
    return Embeddings(video, audio, torch.tensor(5.0)), torch.arange(NUM_CLIPS) // 2


def moments(movie: torch.Tensor) -> ClipOrigins:
    """Clips of these movies, one second apart, each in its own shot."""
    place = torch.arange(len(movie), device=movie.device)
    return ClipOrigins(movie, movie, place, place * 1_000_000_000)


def loss(embeddings: Embeddings, movie: torch.Tensor, weight: float = 1.0) -> LossOutput:
    return contrastive_loss(embeddings, moments(movie), LossConfig(within_weight=weight))


def slow_loss(embeddings: Embeddings, movie: torch.Tensor, weight: float) -> float:
    """The formula of the module's docstring, one clip at a time."""
    video, audio = embeddings.video.double().tolist(), embeddings.audio.double().tolist()
    scale, total = float(embeddings.scale), 0.0
    for queries, answers in ((video, audio), (audio, video)):
        for i, query in enumerate(queries):
            below = 0.0
            for j, answer in enumerate(answers):
                factor = weight if movie[i] == movie[j] and i != j else 1.0
                score = scale * sum(a * b for a, b in zip(query, answer, strict=True))
                below += factor * math.exp(score)
                own = math.exp(score) if i == j else 0.0
                total -= math.log(own) if own else 0.0
            total += math.log(below)
    return total / (2 * len(video))


@pytest.mark.parametrize("weight", [1.0, 4.0, 0.25])
def test_loss_is_the_formula(weight: float) -> None:
    embeddings, movie = batch()
    found = loss(embeddings, movie, weight).loss
    assert float(found) == pytest.approx(slow_loss(embeddings, movie, weight), rel=1e-5)


def test_weight_counts_within_movie_negatives_only() -> None:
    embeddings, _ = batch()
    every_clip_its_own_movie = torch.arange(NUM_CLIPS)
    plain = loss(embeddings, every_clip_its_own_movie, 1.0).loss
    assert torch.equal(loss(embeddings, every_clip_its_own_movie, 7.0).loss, plain)


def test_diagnostics_by_hand() -> None:
    # Two movies of two clips. Both views of clips 0, 2 and 3 agree; clip 1 sounds like clip 0.
    video = torch.eye(4)
    audio = torch.eye(4)[[0, 0, 2, 3]]
    out = loss(Embeddings(video, audio, torch.tensor(1.0)), torch.tensor([0, 0, 1, 1]))
    seen = out.diagnostics
    assert float(seen.positive_similarity) == pytest.approx(3 / 4)
    assert float(seen.within_similarity) == pytest.approx(1 / 4)
    assert float(seen.cross_similarity) == 0.0
    # Video to audio: clip 0 ties with clip 1 (1/2), clip 1 matches none (tie of all: 1/2 of its
    # movie's two, but clips 0 and 1 both have similarity 0 in its row), 2 and 3 are right.
    # Audio to video: clip 1 finds clip 0 instead; the others are right.
    assert float(seen.within_movie_r1) == pytest.approx(((1 / 2 + 1 / 2 + 2) / 4 + 3 / 4) / 2)
    assert float(seen.global_r1) == pytest.approx(((1 / 2 + 1 / 4 + 2) / 4 + 3 / 4) / 2)


def test_softmax_mass_by_hand() -> None:
    # All similarities equal: each of four columns has a quarter, one of them is within the movie.
    same = torch.ones(4, 1)
    embeddings = Embeddings(same, same, torch.tensor(3.0))
    movie = torch.tensor([0, 0, 1, 1])
    mass = loss(embeddings, movie).diagnostics.within_softmax_mass
    assert float(mass) == pytest.approx(1 / 4)
    mass = loss(embeddings, movie, 2.0).diagnostics.within_softmax_mass
    assert float(mass) == pytest.approx(2 / 5)


def test_without_within_movie_negatives_their_metrics_are_missing() -> None:
    embeddings, _ = batch()
    seen = loss(embeddings, torch.arange(NUM_CLIPS)).diagnostics
    assert seen.within_similarity.isnan()
    assert seen.within_softmax_mass.isnan()
    assert seen.within_movie_r1.isnan()
    assert not seen.global_r1.isnan()


def test_loss_is_float32_under_autocast() -> None:
    embeddings, movie = batch()
    plain = loss(embeddings, movie).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(embeddings, movie).loss, plain)


def guarded_loss(embeddings: Embeddings, keep: torch.Tensor) -> float:
    """Mean over both directions of -log softmax over the kept columns of each row."""
    video, audio = embeddings.video.double(), embeddings.audio.double()
    total = 0.0
    for scores in (video @ audio.T, audio @ video.T):
        for row, kept in zip(float(embeddings.scale) * scores, keep, strict=True):
            total += float(row[kept].logsumexp(0))
        total -= float(embeddings.scale) * float(scores.trace())
    return total / (2 * len(video))


def test_guards_leave_out_neighbors_of_the_same_source_only() -> None:
    embeddings, _ = batch()
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    source = torch.tensor([0, 0, 0, 2, 1, 1, 1, 1])
    seconds = torch.tensor([0, 1, 5, 0, 0, 1, 2, 9])
    shot = torch.tensor([0, 0, 1, 0, 0, 1, 1, 1])
    clips = ClipOrigins(group, source, shot, seconds * 1_000_000_000)
    every = torch.ones(NUM_CLIPS, NUM_CLIPS, dtype=torch.bool)

    def without(*pairs: tuple[int, int]) -> torch.Tensor:
        keep = every.clone()
        for i, j in pairs:
            keep[i, j] = keep[j, i] = False
        return keep

    out = contrastive_loss(embeddings, clips, LossConfig(guard_seconds=2.0))
    # Starts exactly two seconds apart are far enough; clip 3 is from another movie of the group.
    expected = without((0, 1), (4, 5), (5, 6))
    assert float(out.loss) == pytest.approx(guarded_loss(embeddings, expected), rel=1e-5)
    assert float(out.diagnostics.guarded_share) == pytest.approx(6 / 24)
    out = contrastive_loss(embeddings, clips, LossConfig(guard_shots=True))
    expected = without((0, 1), (5, 6), (5, 7), (6, 7))
    assert float(out.loss) == pytest.approx(guarded_loss(embeddings, expected), rel=1e-5)
    both = LossConfig(guard_shots=True, guard_seconds=2.0)
    expected = expected & without((0, 1), (4, 5), (5, 6))
    found = float(contrastive_loss(embeddings, clips, both).loss)
    assert found == pytest.approx(guarded_loss(embeddings, expected), rel=1e-5)


def test_guarded_clips_do_not_repel_each_other() -> None:
    video, audio = torch.eye(4), torch.eye(4)[[1, 0, 2, 3]]
    movie = torch.tensor([0, 0, 1, 2])
    clips = ClipOrigins(movie, movie, torch.zeros(4, dtype=torch.int64), torch.arange(4))
    scale = torch.tensor(10.0)
    free = contrastive_loss(Embeddings(video, audio, scale), clips, LossConfig())
    guarded = contrastive_loss(Embeddings(video, audio, scale), clips, LossConfig(guard_shots=True))
    # Clips 0 and 1 have each other's audio: without guards, the loss is large.
    assert float(free.loss) > 4
    assert float(guarded.loss) < 1


def test_positives_of_the_movie_are_the_formula() -> None:
    embeddings, _ = batch()
    movie = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    out = contrastive_loss(embeddings, moments(movie), LossConfig(positives="movie"))
    video, audio = embeddings.video.double(), embeddings.audio.double()
    total = 0.0
    for scores in (video @ audio.T, audio @ video.T):
        power = (float(embeddings.scale) * scores).exp()
        for i in range(NUM_CLIPS):
            others = float(power[i][movie != movie[i]].sum())
            near = [j for j in range(NUM_CLIPS) if movie[j] == movie[i] and j != i]
            total += sum(
                -math.log(float(power[i, j]) / (float(power[i, j]) + others)) for j in near
            ) / len(near)
    assert float(out.loss) == pytest.approx(total / (2 * NUM_CLIPS), rel=1e-5)


def test_contradicting_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="no within-movie negatives"):
        LossConfig(positives="movie", within_weight=2.0)
    with pytest.raises(InputError, match="guard-seconds = -1"):
        LossConfig(guard_seconds=-1.0)
    with pytest.raises(InputError, match="clips-per-movie"):
        TrainConfig(policy=BatchPolicy(clips_per_movie=1), loss=LossConfig(positives="movie"))


def towers() -> tuple[torch.nn.Linear, torch.nn.Linear, torch.nn.Parameter]:
    """A model that is small enough to compare every gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        video, audio = torch.nn.Linear(5, SIZE), torch.nn.Linear(4, SIZE)
    return video, audio, torch.nn.Parameter(torch.tensor(1.5))


def run_towers(part: slice, setting: str) -> list[torch.Tensor]:
    """Two steps of the loss on this rank's part of the batch: losses, statistics, gradients of the
    weights, and the state of the loss."""
    generator = torch.Generator().manual_seed(3)
    clip = torch.arange(NUM_CLIPS)
    # Some neighbors share a shot or are close in time: guards must act alike on all ranks.
    columns = (clip // 2, clip // 2, clip // 3, clip * 1_000_000_000)
    origins = ClipOrigins(*(one[part] for one in columns))
    video, audio, log_scale = towers()
    criterion = Criterion(CONFIGS[setting], SIZE)
    outputs = []
    for _ in range(2):
        views = []
        for _ in range(2 if CONFIGS[setting].within_modal else 1):
            pixels = torch.randn(NUM_CLIPS, 5, generator=generator)[part]
            waveform = torch.randn(NUM_CLIPS, 4, generator=generator)[part]
            views.append(
                Embeddings(
                    functional.normalize(video(pixels), dim=1),
                    functional.normalize(audio(waveform), dim=1),
                    log_scale.exp(),
                )
            )
        second = views[1] if len(views) > 1 else None
        outputs.append(criterion(views[0], origins, second))
        outputs[-1].loss.backward()
        criterion.average_gradients()
    weights = [*video.parameters(), *audio.parameters(), log_scale]
    return [
        *(output.loss.detach() for output in outputs),
        *(output.diagnostics.stacked() for output in outputs),
        *(weight.grad for weight in weights if weight.grad is not None),
        *(parameter.grad for parameter in criterion.parameters() if parameter.grad is not None),
        *(value.clone().float() for value in criterion.state_dict().values()),
    ]


def one_rank(rank: int, world_size: int, folder: str) -> None:
    """A process of the parity test: writes what DDP would make of all ranks' gradients."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    share = NUM_CLIPS // world_size
    for setting in CONFIGS:
        values = run_towers(slice(rank * share, (rank + 1) * share), setting)
        for value in values:
            dist.all_reduce(value)
            value /= world_size
        if rank == 0:
            torch.save(values, f"{folder}/{setting}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world_size", mostly_slow([1, 2, 4], (2,)))
def test_ranks_agree_with_one_process(world_size: int, tmp_path: Path) -> None:
    ranks = start_ranks([__file__, str(tmp_path)], world_size)
    assert [rank.wait(timeout=500) for rank in ranks] == [0] * world_size
    for setting in CONFIGS:
        expected = run_towers(slice(None), setting)
        found = torch.load(tmp_path / f"{setting}.pt", weights_only=True)
        assert len(found) == len(expected) >= 9
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.gpu
def test_loss_on_a_gpu_agrees_with_the_cpu() -> None:
    embeddings, movie = batch()
    device = Embeddings(embeddings.video.cuda(), embeddings.audio.cuda(), embeddings.scale.cuda())
    found = loss(device, movie.cuda(), 2.0).loss.cpu()
    torch.testing.assert_close(found, loss(embeddings, movie, 2.0).loss)


if __name__ == "__main__":
    one_rank(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), sys.argv[1])
