"""Deals units, the clips of a group for one step, to the steps of an epoch.

From one dataset, each step gets as many units as the next. From several, each step gets m units in
all, and of dataset d either the integer below or above its share q_d = m * weight_d:

    fixed     floor(q_d) units in every step
    extra     one more in some steps: step s has a point u_s in [0, 1), the datasets lie one after
              the other on a line, each as long as the fraction of its share, and those that contain
              one of u_s, u_s + 1, u_s + 2, ... get one. The lengths add up to an integer, so all
              steps get the same number.

The points of an epoch are evenly spaced, so that over an epoch each dataset gets its share, to one
unit; and they come in the order of the multiples of the golden ratio, so that any part of an epoch
is close to it (within five units after 100,000 steps).

The epoch ends when a dataset is used up; which units of the others are left out changes from epoch
to epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from trainer.data.plan.chunks import shuffled
from trainer.data.plan.clip_index import Ints

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Dealt:
    """Units by step, and how many are left over."""

    units: Ints
    """(S, m) numbers of units."""
    capped: Ints
    """Groups that have more units than there are steps."""
    num_capped: int
    """Excess units of these groups."""
    num_unneeded: int
    """Units of datasets that last longer than the one that ended the epoch."""


def deal(group: Ints, per_step: int, generator: np.random.Generator) -> Dealt:
    """Assign the units of one dataset, whose (U,) groups are given, to steps."""
    count = np.bincount(group)
    steps = num_steps(count, Fraction(per_step))
    order = _laid_out(group, steps, generator)[: steps * per_step]
    dealt = order.reshape(per_step, steps).T
    dealt = generator.permuted(dealt[generator.permutation(steps)], axis=1)
    num_capped = int(np.maximum(count - steps, 0).sum())
    return Dealt(dealt, np.flatnonzero(count > steps), num_capped, num_unneeded=0)


def deal_shares(
    group: Ints,
    part_of_group: Ints,
    shares: Sequence[Fraction],
    generator: np.random.Generator,
) -> Dealt:
    """Assign the units of several datasets to steps.

    Args:
        group: (U,) group of each unit.
        part_of_group: (G,) position of each group's dataset in `shares`.
        shares: units of each dataset in a step; their sum is an integer.
        generator: decides the order.
    """
    own = [np.flatnonzero(part_of_group[group] == part) for part in range(len(shares))]
    counts = [np.bincount(group[units], minlength=len(part_of_group)) for units in own]
    last = [num_steps(count, share) for count, share in zip(counts, shares, strict=True)]
    steps, offset = min(last), generator.random()
    quota = quotas(shares, steps, offset)
    while steps and not _provides(counts, quota, steps):
        # Only where rounding has moved the end of a dataset across a point.
        steps -= 1
        quota = quotas(shares, steps, offset)
    units, at = [], []
    for number, numbers in enumerate(own):
        order = numbers[_laid_out(group[numbers], steps, generator)]
        units.append(order[: int(quota[number].sum())])
        # Dealt in turn, the first steps get the extra units; so those that have one come first.
        in_turn = generator.permutation(steps)
        in_turn = in_turn[np.argsort(-quota[number][in_turn], kind="stable")]
        at.append(in_turn[np.arange(len(units[-1])) % max(1, steps)])
    step = np.concatenate(at)
    dealt = np.concatenate(units)[np.argsort(step, kind="stable")].reshape(steps, -1)
    dealt = generator.permuted(dealt, axis=1)
    over = [np.maximum(count - steps, 0) for count in counts]
    num_unneeded = sum(
        int(count.sum() - excess.sum()) - len(used)
        for count, excess, used, end in zip(counts, over, units, last, strict=True)
        if end > steps
    )
    return Dealt(
        dealt,
        np.flatnonzero(sum(over)),
        num_capped=int(sum(excess.sum() for excess in over)),
        num_unneeded=num_unneeded,
    )


def quotas(shares: Sequence[Fraction], steps: int, offset: float) -> Ints:
    """(D, S) units of each dataset in each step; `offset` in [0, 1) shifts the extra ones."""
    whole = np.array([math.floor(share) for share in shares], dtype=np.int64)
    ends = np.cumsum([0, *(share - math.floor(share) for share in shares)])
    turn = np.argsort(np.argsort(np.arange(steps) * _GOLDEN % 1.0, kind="stable"), kind="stable")
    points = np.minimum((turn + offset) / max(1, steps), np.nextafter(1.0, 0.0))
    # How many of u, u + 1, u + 2, ... lie before the end of each dataset.
    before = np.ceil(ends.astype(np.float64)[:, None] - points)
    return whole[:, None] + np.diff(before, axis=0).astype(np.int64)


def num_steps(count: Ints, per_step: Fraction) -> int:
    """The largest S with sum(min(count, S)) >= per_step * S, for the units of each group.

    That sum minus per_step * S is concave in S and 0 at 0, so exactly 0..largest satisfy it.
    """
    low, high = 0, math.floor(int(count.sum()) / per_step)
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(count, middle).sum()) >= per_step * middle:
            low = middle
        else:
            high = middle - 1
    return low


def _provides(counts: Sequence[Ints], quota: Ints, steps: int) -> bool:
    available = [int(np.minimum(count, steps).sum()) for count in counts]
    return bool((quota.sum(axis=1) <= available).all())


def _laid_out(group: Ints, steps: int, generator: np.random.Generator) -> Ints:
    """Units group by group in random order, at most `steps` of each."""
    # Groups in random order, each with its units in random order, as in `epoch_plan`.
    group_order = generator.permutation(int(group.max(initial=-1)) + 1)
    order, number, _ = shuffled(group_order[group], generator)
    return order[number < steps]
