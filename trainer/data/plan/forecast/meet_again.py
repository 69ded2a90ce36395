"""How often clips that meet in a batch meet again in later epochs: how well an epoch mixes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import BatchPlan, plan_epoch
from trainer.data.plan.policy import BatchPolicy
from trainer.data.randomness import rng

#: Number of later epochs in which the report looks for pairs of clips that meet again.
LATER_EPOCHS = 3

#: Pairs of clips followed into the later epochs, of each kind.
NUM_PAIRS = 100_000


@dataclass(frozen=True, kw_only=True)
class MeetAgain:
    """How often two clips that meet in a batch meet again in one of the next epochs."""

    share: float
    """Measured share of random pairs of the first epoch."""
    share_random: float
    """Expected share if every epoch drew its batches at random."""


def meet_again(
    index: ClipIndex, policy: BatchPolicy, plan: BatchPlan
) -> tuple[MeetAgain, MeetAgain]:
    """Follow random pairs of one epoch, within and across movies, into the next epochs."""
    later = [
        plan_epoch(index, policy, plan.seed, plan.epoch + number + 1)
        for number in range(LATER_EPOCHS)
    ]
    steps, m, k = plan.clips.shape
    generator = rng(plan.seed, plan.epoch, "report")
    step = generator.integers(steps, size=NUM_PAIRS)
    first = generator.integers(m, size=NUM_PAIRS)
    clip = generator.integers(k, size=NUM_PAIRS)
    left = plan.clips[step, first, clip]
    results = []
    for shift_movie in (False, True):
        if (k if not shift_movie else m) < 2:
            results.append(MeetAgain(share=0.0, share_random=0.0))
            continue
        if shift_movie:
            movie = (first + generator.integers(1, m, size=NUM_PAIRS)) % m
            right = plan.clips[step, movie, generator.integers(k, size=NUM_PAIRS)]
        else:
            other = (clip + generator.integers(1, k, size=NUM_PAIRS)) % k
            right = plan.clips[step, first, other]
        shares = [_share(index, plan, left, right) for plan in later]
        results.append(
            MeetAgain(
                share=float(np.mean([share for share, _ in shares])),
                share_random=float(np.mean([expected for _, expected in shares])),
            )
        )
    return results[0], results[1]


def _share(
    index: ClipIndex, plan: BatchPlan, left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[float, float]:
    """Share of pairs that are in the same batch of `plan`, and the share expected by chance.

    By chance, a movie with n used clips takes part in n / k of the S steps, drawn at random: a pair
    within a movie shares its step with probability (k - 1) / (n - 1), a pair across movies with
    1 / S.
    """
    steps, m, k = plan.clips.shape
    at = np.full(index.num_rows, -1, dtype=np.int64)
    at[plan.clips.ravel()] = np.repeat(np.arange(steps), m * k)
    both = (at[left] >= 0) & (at[right] >= 0)
    if not both.any():
        return 0.0, 0.0
    left, right = left[both], right[both]
    group = index.group[index.positions(plan.clips[:, :, 0])].ravel()
    used = np.bincount(group, minlength=len(index.group_names)) * k
    groups = [index.group[index.positions(side)] for side in (left, right)]
    same: NDArray[np.bool_] = groups[0] == groups[1]
    chance = np.where(same, (k - 1) / np.maximum(used[groups[0]] - 1, 1), 1 / steps)
    return float((at[left] == at[right]).mean()), float(chance.mean())
