"""What a batch policy gives on a dataset, before anyone spends a GPU on it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS
from trainer.fetch import MAX_READ_BYTES
from trainer.loader import StreamConfig
from trainer.plan import (
    BatchPlan,
    BatchPolicy,
    ClipIndex,
    Ints,
    Unused,
    dump_epochs,
    naming_phase,
    plan_epoch,
)
from trainer.randomness import rng
from trainer.stream import open_for_training

#: Later epochs that the report looks at for pairs of clips that meet again.
LATER_EPOCHS = 3

#: Pairs of clips that are followed into the later epochs, of each kind.
NUM_PAIRS = 100_000

#: Names of capped movies that the table spells out.
_MAX_NAMES = 8


@dataclass(frozen=True, kw_only=True)
class MeetAgain:
    """How often two clips that meet in a batch meet again in an epoch soon after."""

    share: float
    """Measured, of pairs that were drawn at random from the first epoch."""
    share_random: float
    """Of the same pairs, if every epoch drew its batches anew at random."""


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """One epoch of a policy in figures."""

    epoch: int
    num_steps: int
    movies_per_batch: int
    clips_per_movie: int
    batch_size: int
    rho: float
    """Share of a clip's negatives that are of its own movie."""
    num_groups: int
    """Movies (or groups) with eligible clips."""
    num_rows: int
    """Clips of the dataset."""
    num_eligible: int
    num_used: int
    unused: Unused
    capped_groups: tuple[str, ...]
    reads_per_step: float
    """Ranged reads of a global batch, on average."""
    bytes_per_step: float
    """Bytes of these reads, holes included, on average."""
    gap_seconds_least: float
    """Least time between the starts of two clips of one movie in any batch; 0 when k = 1."""
    gap_seconds_median: float
    """Median over batches and movies of that least time."""
    within: MeetAgain
    """Pairs of clips of one movie."""
    across: MeetAgain
    """Pairs of clips of different movies."""
    world_sizes: tuple[int, ...]
    """Numbers of ranks that can share every batch, whole movies on each."""
    phases: tuple[str, ...]
    """What the policy's schedule changes, and when; empty without one."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def describe(
    index: ClipIndex,
    policy: BatchPolicy,
    seed: int,
    epoch: int,
    max_hole_bytes: int = StreamConfig().max_hole_bytes,
) -> PlanReport:
    """Plan an epoch and the few after it, and measure them. Raises `PolicyError` as the plan."""
    phases = _phases(index, policy, seed, epoch)
    world_sizes = _world_sizes(policy)
    policy = policy.at_step(0)
    plan = plan_epoch(index, policy, seed, epoch)
    places = index.places(plan.clips)
    num_reads, num_bytes = _reads(index, places, max_hole_bytes)
    gaps = _least_gaps_ns(index, places) / NANOSECONDS
    later = [plan_epoch(index, policy, seed, epoch + n + 1) for n in range(LATER_EPOCHS)]
    within, across = _meet_again(index, plan, later)
    return PlanReport(
        epoch=epoch,
        num_steps=plan.num_steps,
        movies_per_batch=policy.movies_per_batch,
        clips_per_movie=policy.clips_per_movie,
        batch_size=policy.batch_size,
        rho=policy.rho,
        num_groups=len(np.unique(index.group)),
        num_rows=index.num_rows,
        num_eligible=index.num_eligible,
        num_used=plan.clips.size,
        unused=plan.unused,
        capped_groups=plan.capped_groups,
        reads_per_step=num_reads / plan.num_steps,
        bytes_per_step=num_bytes / plan.num_steps,
        gap_seconds_least=float(gaps.min()) if gaps.size else 0.0,
        gap_seconds_median=float(np.median(gaps)) if gaps.size else 0.0,
        within=within,
        across=across,
        world_sizes=world_sizes,
        phases=phases,
    )


def _phases(index: ClipIndex, policy: BatchPolicy, seed: int, epoch: int) -> tuple[str, ...]:
    """A line for each phase of the schedule. Raises `PolicyError` when one is impossible."""
    if not policy.schedule:
        return ()
    lines = []
    for step, one in policy.phases().items():
        with naming_phase(policy, step):
            num_steps = plan_epoch(index, one, seed, epoch).num_steps
        lines.append(
            f"from step {step:,}: {one.movies_per_batch} x {one.clips_per_movie}, rho "
            f"{one.rho:.4f}, {num_steps:,} steps per epoch"
        )
    return tuple(lines)


def _world_sizes(policy: BatchPolicy) -> tuple[int, ...]:
    """The numbers of ranks that divide m, in every phase of the schedule."""
    m = math.gcd(*(one.movies_per_batch for one in policy.phases().values()))
    return tuple(size for size in range(1, m + 1) if m % size == 0)


def plan_command(
    data: str, policy: BatchPolicy, seed: int, epochs: int, dump: str, json: bool
) -> int:
    """`python -m trainer plan`: print the report of epoch 0; dump `epochs` epochs to a file.

    Returns the exit code; bad input raises `InputError`.
    """
    if epochs < 1 or (epochs > 1 and not dump):
        raise InputError(f"epochs = {epochs}: at least 1, and more only with a file to --dump to")
    index = ClipIndex.from_dataset(open_for_training(data, policy), policy)
    report = describe(index, policy, seed, 0)
    if dump:
        dump_epochs(index, policy, seed, epochs, Path(dump))
    console = Console()
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(render(report))
    return 0


def render(report: PlanReport) -> Table:
    """The report as a table for people."""
    table = Table(title=f"Batch plan of epoch {report.epoch}", show_header=False)
    used = report.num_used / report.num_eligible
    rows = {
        "steps per epoch": f"{report.num_steps:,}",
        "batch": f"{report.movies_per_batch} movies x {report.clips_per_movie} clips "
        f"= {report.batch_size} clips",
        "rho": f"{report.rho:.4f} (share of negatives from the same movie)",
        "eligible": f"{report.num_eligible:,} of {report.num_rows:,} clips, "
        f"{report.num_groups:,} movies",
        "used": f"{report.num_used:,} clips ({used:.2%})",
        "unused": _unused(report.unused),
        "capped movies": _names(report.capped_groups),
        "read per step": f"{report.reads_per_step:,.1f} reads, "
        f"{report.bytes_per_step / 1e6:,.1f} MB",
        "time between clips": f"least {report.gap_seconds_least:.1f} s, "
        f"median of least {report.gap_seconds_median:.1f} s (same movie, same batch)",
        "numbers of ranks": ", ".join(map(str, report.world_sizes)),
        "meet again, same movie": _again(report.within),
        "meet again, other movie": _again(report.across),
    }
    if report.phases:
        rows["schedule"] = "\n".join(report.phases)
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _reads(index: ClipIndex, places: Ints, max_hole_bytes: int) -> tuple[int, int]:
    """Ranged reads of a plan and their bytes, merged by `trainer.fetch.ranges.join_reads`."""
    clips = np.sort(places.reshape(-1, places.shape[-1]), axis=-1).T
    start = index.offset[clips[0]]
    end = start + index.num_bytes[clips[0]]
    num_reads, num_bytes = clips.shape[1], 0
    for last, clip in itertools.pairwise(clips):
        first, stop = index.offset[clip], index.offset[clip] + index.num_bytes[clip]
        is_joined = (
            (index.shard[clip] == index.shard[last])
            & (first - end <= max_hole_bytes)
            & (stop - start <= MAX_READ_BYTES)
        )
        num_reads += int((~is_joined).sum())
        num_bytes += int((end - start)[~is_joined].sum())
        start, end = np.where(is_joined, start, first), stop
    return num_reads, num_bytes + int((end - start).sum())


def _least_gaps_ns(index: ClipIndex, places: Ints) -> Ints:
    """For each movie of each batch that has two clips or more, the least time between starts."""
    if places.shape[-1] < 2:
        return np.empty(0, dtype=np.int64)
    movie, start = index.movie[places], index.start_ns[places]
    order = np.lexsort((start, movie), axis=-1)
    movie = np.take_along_axis(movie, order, axis=-1)
    gap = np.diff(np.take_along_axis(start, order, axis=-1), axis=-1)
    # With group_by = group neighbours in a batch may be of different movies: no gap between them.
    gap[np.diff(movie, axis=-1) != 0] = np.iinfo(np.int64).max
    least: Ints = gap.min(axis=-1).ravel()
    return least[least < np.iinfo(np.int64).max]


def _meet_again(
    index: ClipIndex, plan: BatchPlan, later: list[BatchPlan]
) -> tuple[MeetAgain, MeetAgain]:
    """Follow random pairs of one epoch, of one movie and of two, into later epochs."""
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
        shares = [_share(index, coming, left, right) for coming in later]
        results.append(
            MeetAgain(
                share=float(np.mean([share for share, _ in shares])),
                share_random=float(np.mean([expected for _, expected in shares])),
            )
        )
    return results[0], results[1]


def _share(index: ClipIndex, plan: BatchPlan, left: Ints, right: Ints) -> tuple[float, float]:
    """Share of pairs that are in one batch of `plan`, and what chance would give.

    By chance, a movie with n used clips has n / k of the S steps, drawn at random: a pair of one
    movie shares its step with probability (k - 1) / (n - 1); a pair of two movies with 1 / S.
    """
    steps, m, k = plan.clips.shape
    at = np.full(index.num_rows, -1, dtype=np.int64)
    at[plan.clips.ravel()] = np.repeat(np.arange(steps), m * k)
    both = (at[left] >= 0) & (at[right] >= 0)
    if not both.any():
        return 0.0, 0.0
    left, right = left[both], right[both]
    group = index.group[index.places(plan.clips[:, :, 0])].ravel()
    used = np.bincount(group, minlength=len(index.group_names)) * k
    groups = [index.group[index.places(side)] for side in (left, right)]
    same: NDArray[np.bool_] = groups[0] == groups[1]
    chance = np.where(same, (k - 1) / np.maximum(used[groups[0]] - 1, 1), 1 / steps)
    return float((at[left] == at[right]).mean()), float(chance.mean())


def _unused(unused: Unused) -> str:
    reasons = {
        name.replace("_", " "): count for name, count in dataclasses.asdict(unused).items() if count
    }
    listed = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
    return f"{unused.total:,} clips" + (f" ({listed})" if listed else "")


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more or "none"


def _again(meet: MeetAgain) -> str:
    return f"{meet.share:.2%} of pairs in a later epoch, {meet.share_random:.2%} at random"
