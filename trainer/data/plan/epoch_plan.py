"""The batch plan: a pure function of index, policy, seed and epoch that lists every global batch.

Guarantees for every epoch:

- a step has exactly m distinct groups (by default movies) and k distinct clips of each; with
  `episodes_per_group` e, exactly e distinct movies of each group and k clips of each of these;
- two clips of one movie in a step never overlap and start at least `min_gap_seconds` apart;
- no clip is used twice, with any weighting; unused clips are counted by reason in `Unused`;
- all ranks have the same number of steps, and the k clips of a group stay on one rank;
- a group's clips come from r chunks (see `chunks.py`), each of consecutive clips of one shard.

Method: the chunks become *units*, the k clips of a group for one step. The units are laid out group
by group in random order and dealt in turn to S steps, so a group of at most S units never meets
itself.

    units   a a a a b b b c c c c d d      S = 4, m = 3
    step    0 1 2 3 0 1 2 3 0 1 2 3 -      the last one is left over

With episodes, the units of each movie are first dealt in the same way to the units of its group,
of e movies each, which are then dealt to steps. With several datasets, each has its share of the
groups of a step; see `dealing.py`.

With `weighting_exponent` a below 1, a group of u units keeps min(u, median * (u / median)^a) of
them, different ones in each epoch: groups longer than the median get fewer units.

S is the largest number for which this works: a group with more than S units is capped at S. The
steps are permuted, and so are the groups within a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainer.data.plan.chunks import Timeline, bundle, cut, repair, shuffled
from trainer.data.plan.clip_index import ClipIndex, Ints
from trainer.data.plan.dealing import Dealt, deal, deal_shares
from trainer.data.plan.forecast.enough import check_enough
from trainer.data.plan.policy import BatchPolicy, naming_phase
from trainer.data.randomness import rng


@dataclass(frozen=True, kw_only=True)
class Unused:
    """Eligible clips that an epoch leaves out, by reason."""

    shard_ends: int
    """Left over when a shard is cut into chunks, or in a shard smaller than a chunk."""
    gap: int
    """In chunks or units whose clips overlap or are closer than `min_gap_seconds`."""
    odd_chunks: int
    """In chunks left over when the chunks of a group are joined by `reads_per_movie`."""
    episodes: int
    """Of movies with more units than their group can combine with those of its other movies, or
    left over when these are combined (`episodes_per_group`)."""
    weighting: int
    """In units that longer groups give up under `weighting_exponent`."""
    capped: int
    """Of groups that have more units than the epoch has steps."""
    last_step: int
    """In units that are too few to fill another step."""
    data_weights: int
    """Of datasets that are not used up when another one has ended the epoch."""

    @property
    def total(self) -> int:
        """Sum over all reasons."""
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """All global batches of an epoch."""

    clips: Ints
    """(num_steps, m, k) rows of the table of clips; with episodes (num_steps, m, e * k), where the
    k clips of an episode are neighbors."""
    epoch: int
    seed: int
    num_eligible: int
    unused: Unused
    """Together with the clips of the plan, these are all eligible clips."""
    capped_groups: tuple[str, ...]
    """Names of the groups that were capped."""

    @property
    def num_steps(self) -> int:
        """Steps of the epoch, the same on every rank."""
        return len(self.clips)

    def for_rank(self, step: int, rank: int, world_size: int) -> Ints:
        """(m / world_size, k) rows: one rank's part of a global batch; `world_size` divides m."""
        if not 0 <= rank < world_size:
            raise ValueError(f"{rank = } is not in [0, {world_size})")
        share = self.clips.shape[1] // world_size
        part: Ints = self.clips[step, rank * share : (rank + 1) * share]
        return part

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.clips.shape))
        return f"BatchPlan(epoch={self.epoch}, steps x m x k={shape}, unused={self.unused.total})"


def plan_epoch(index: ClipIndex, policy: BatchPolicy, seed: int, epoch: int) -> BatchPlan:
    """The global batches of one epoch.

    `policy` is the one that the index was made with, or a phase of its schedule.

    Raises `PolicyError` with the counts when fewer than m groups can provide k clips.
    """
    k = policy.clips_per_group
    every = _units(index, policy, seed, epoch)
    units, group = every.positions, every.group
    check_enough(index, policy, group, every.gap)
    if policy.weighting_exponent < 1.0:
        kept = _weigh(index, group, policy.weighting_exponent, rng(seed, epoch, "weigh"))
        units, group = units[kept], group[kept]
    dealt = _deal(index, policy, group, rng(seed, epoch, "deal"))
    left_over = len(group) - dealt.num_capped - dealt.num_unneeded - dealt.units.size
    return BatchPlan(
        clips=index.row[units[dealt.units]],
        epoch=epoch,
        seed=seed,
        num_eligible=index.num_eligible,
        unused=Unused(
            shard_ends=every.shard_ends,
            gap=every.gap,
            odd_chunks=every.odd_chunks,
            episodes=every.episodes,
            weighting=(len(every.positions) - len(units)) * k,
            capped=dealt.num_capped * k,
            last_step=left_over * k,
            data_weights=dealt.num_unneeded * k,
        ),
        capped_groups=tuple(index.group_names[number] for number in dealt.capped),
    )


def plan_phases(
    index: ClipIndex, seed: int, epoch: int, *, after_step: int = -1
) -> Iterator[tuple[int, BatchPolicy, BatchPlan]]:
    """The plan of an epoch in the phases of the schedule: (first step, policy, plan).

    Only phases that begin after step `after_step` of the run are planned.

    Raises `PolicyError`, naming the phase, for the first phase that the dataset cannot serve.
    """
    for step, phase in index.policy.phases().items():
        if step <= after_step:
            continue
        with naming_phase(index.policy, step):
            plan = plan_epoch(index, phase, seed, epoch)
        yield step, phase, plan


@dataclass(frozen=True, eq=False)
class _Units:
    """All units of an epoch, and counts of the clips that are in none."""

    positions: Ints
    """(U, k), or (U, e * k)."""
    group: Ints
    """(U,)."""
    shard_ends: int
    gap: int
    odd_chunks: int
    episodes: int


def _units(index: ClipIndex, policy: BatchPolicy, seed: int, epoch: int) -> _Units:
    timeline = Timeline.of(index, policy.min_gap_ns)
    chunks, shard = cut(index, policy.chunk_clips, seed, epoch)
    shard_ends = index.num_eligible - chunks.size
    chunks, bad = repair(chunks, shard, timeline)
    gap = int(bad.sum()) * policy.chunk_clips
    units = chunks[~bad]
    owner = index.movie if policy.episodes_per_group else index.group
    group = owner[units[:, 0]].astype(np.int64)
    odd_chunks = 0
    if policy.num_reads > 1:
        num_joined = units.size
        generator = rng(seed, epoch, "bundle")
        units, group, bad = bundle(units, group, policy.num_reads, timeline, generator)
        odd_chunks = num_joined - units.size
        gap += int(bad.sum()) * policy.clips_per_movie
        units, group = units[~bad], group[~bad]
    if not policy.episodes_per_group:
        return _Units(units, group, shard_ends, gap, odd_chunks, episodes=0)
    joined, group = _join_episodes(index, policy, units, group, rng(seed, epoch, "episodes"))
    return _Units(joined, group, shard_ends, gap, odd_chunks, units.size - joined.size)


def _join_episodes(
    index: ClipIndex,
    policy: BatchPolicy,
    units: Ints,
    movie: Ints,
    generator: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Units of k clips of a movie -> units of e movies of a group, e * k clips; and their groups.

    Args:
        units: (V, k) positions.
        movie: (V,) movie of each unit.
    """
    group = index.group[units[:, 0]].astype(np.int64)
    order, _, count = shuffled(group, generator)
    parts, owners = [np.empty((0, policy.clips_per_group), dtype=np.int64)], []
    for number, own in enumerate(np.split(order, np.cumsum(count)[:-1])):
        # Movies are numbered within the group, or the group's work would grow with the dataset.
        names, local = np.unique(movie[own], return_inverse=True)
        if len(names) < policy.episodes_per_group:
            continue
        dealt = deal(local.astype(np.int64), policy.episodes_per_group, generator).units
        parts.append(units[own[dealt]].reshape(len(dealt), policy.clips_per_group))
        owners.append(np.full(len(dealt), number, dtype=np.int64))
    return np.concatenate(parts), np.concatenate([np.empty(0, dtype=np.int64), *owners])


def _deal(
    index: ClipIndex, policy: BatchPolicy, group: Ints, generator: np.random.Generator
) -> Dealt:
    shares = index.shares(policy.movies_per_batch)
    if len(shares) == 1:
        return deal(group, policy.movies_per_batch, generator)
    return deal_shares(group, index.dataset_of_group, shares, generator)


def _weigh(index: ClipIndex, group: Ints, exponent: float, generator: np.random.Generator) -> Ints:
    """Numbers of the units that are kept, ascending: a random subset for longer groups.

    The median is that of the group's own dataset.
    """
    count = np.bincount(group, minlength=len(index.group_names))
    target = np.zeros_like(count)
    for dataset in range(len(index.datasets)):
        own = (index.dataset_of_group == dataset) & (count > 0)
        median = float(np.median(count[own]))
        share = median * (count[own] / median) ** exponent
        target[own] = np.minimum(count[own], np.maximum(np.rint(share), 1)).astype(np.int64)
    order, number, _ = shuffled(group, generator)
    return np.sort(order[number < target[group[order]]])
