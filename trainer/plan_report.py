"""Describes the batches that a policy yields on a dataset, before any GPU time is spent."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from shards_spec.cli import PlainConsole, print_json
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS
from trainer.data.fetch.ranges import merged_totals
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch, plan_phases
from trainer.data.plan.forecast.dump import dump_epochs
from trainer.data.plan.forecast.meet_again import MeetAgain, meet_again
from trainer.data.plan.forecast.shares import share_lines
from trainer.data.plan.sources import MovieCopy
from trainer.data.plan.sources.repeats import Repeat
from trainer.data.stream import open_for_training
from trainer.settings import SupplyConfig
from trainer.supply import forecast

#: Names of capped movies listed in the table.
_MAX_NAMES = 8


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """One epoch of a policy in numbers."""

    epoch: int
    num_steps: int
    movies_per_batch: int
    clips_per_movie: int
    episodes_per_group: int
    """Movies of each group in a batch; 0 without this level."""
    batch_size: int
    reads_per_movie: int
    """Ranged reads that the clips of a movie in a batch come from."""
    rho: float
    """Share of a clip's negatives that come from its own movie."""
    num_groups: int
    """Movies (or groups) with eligible clips."""
    num_rows: int
    """Clips of the dataset."""
    num_eligible: int
    num_used: int
    unused: dict[str, int]
    """Eligible clips left out, by reason."""
    capped_groups: tuple[str, ...]
    copies: tuple[MovieCopy, ...]
    """Movies left out because another movie has the same source."""
    repeats: tuple[Repeat, ...]
    """Clips left out because another movie shows or plays the same."""
    reads_per_step: float
    """Ranged reads of a global batch, on average."""
    bytes_per_step: float
    """Bytes of these reads, including gaps, on average."""
    gap_seconds_least: float
    """Minimum time between the starts of two clips of one movie in a batch; 0 when k = 1."""
    gap_seconds_median: float
    """Median over batches and movies of the minimum time."""
    within: MeetAgain
    """Pairs of clips of one movie."""
    across: MeetAgain
    """Pairs of clips of different movies."""
    world_sizes: tuple[int, ...]
    """Numbers of ranks among which every batch can be divided without splitting a movie."""
    datasets: tuple[str, ...]
    """One line per dataset with its share of a batch; empty for a single one."""
    phases: tuple[str, ...]
    """One line per phase of the policy's schedule; empty without one."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def describe(
    index: ClipIndex, seed: int, epoch: int, max_gap_bytes: int = StreamConfig().max_gap_bytes
) -> PlanReport:
    """Plan an epoch and the next few, and measure them. Raises `PolicyError` as `plan_epoch`."""
    phases = _phases(index, seed, epoch)
    policy = index.policy.at_step(0)
    plan = plan_epoch(index, policy, seed, epoch)
    positions = index.positions(plan.clips)
    num_reads, num_bytes = _reads(index, positions, max_gap_bytes)
    gaps = _smallest_gaps_ns(index, positions) / NANOSECONDS
    within, across = meet_again(index, policy, plan)
    return PlanReport(
        epoch=epoch,
        num_steps=plan.num_steps,
        movies_per_batch=policy.movies_per_batch,
        clips_per_movie=policy.clips_per_movie,
        episodes_per_group=policy.episodes_per_group,
        batch_size=policy.batch_size,
        reads_per_movie=policy.num_reads,
        rho=policy.rho,
        num_groups=len(np.unique(index.group)),
        num_rows=index.num_rows,
        num_eligible=index.num_eligible,
        num_used=plan.clips.size,
        unused=dataclasses.asdict(plan.unused),
        capped_groups=plan.capped_groups,
        copies=index.copies,
        repeats=index.repeats,
        # The clips that follow a joined one lie elsewhere in the shard.
        reads_per_step=num_reads * policy.joined_clips / plan.num_steps,
        bytes_per_step=num_bytes * policy.joined_clips / plan.num_steps,
        gap_seconds_least=float(gaps.min()) if gaps.size else 0.0,
        gap_seconds_median=float(np.median(gaps)) if gaps.size else 0.0,
        within=within,
        across=across,
        world_sizes=_world_sizes(index.policy),
        datasets=tuple(share_lines(index, policy)),
        phases=phases,
    )


def _phases(index: ClipIndex, seed: int, epoch: int) -> tuple[str, ...]:
    """A line per phase of the schedule. Raises `PolicyError` when one is impossible."""
    if not index.policy.schedule:
        return ()
    return tuple(
        f"from step {step:,}: {phase.movies_per_batch} x {phase.clips_per_group}, rho "
        f"{phase.rho:.4f}, {plan.num_steps:,} steps per epoch"
        for step, phase, plan in plan_phases(index, seed, epoch)
    )


def _world_sizes(policy: BatchPolicy) -> tuple[int, ...]:
    """The numbers of ranks that divide m in every phase of the schedule."""
    m = math.gcd(*(phase.movies_per_batch for phase in policy.phases().values()))
    return tuple(size for size in range(1, m + 1) if m % size == 0)


def plan_command(
    data: str | Sequence[str],
    policy: BatchPolicy,
    seed: int,
    epochs: int,
    dump: str,
    json: bool,
    stream: StreamConfig | None = None,
    supply: SupplyConfig | None = None,
) -> int:
    """`python -m trainer plan`: print the report of epoch 0, with a simulation if `supply` asks for
    one; dump `epochs` epochs to a file.

    Returns the exit code. Raises `InputError` on unusable input.
    """
    if epochs < 1 or (epochs > 1 and not dump):
        raise InputError(
            f"epochs = {epochs}: must be at least 1, and more than 1 needs --dump FILE"
        )
    dataset = open_for_training(data, policy)
    index = ClipIndex.from_dataset(dataset, policy)
    stream = stream or StreamConfig()
    report = describe(index, seed, 0, stream.max_gap_bytes)
    simulated = None
    if supply is not None and supply.clips_per_second:
        simulated = forecast(dataset, index, seed, stream, supply)
    if dump:
        dump_epochs(index, seed, epochs, Path(dump))
    if json:
        print_json(report.to_json() | ({"supply": simulated.to_json()} if simulated else {}))
    else:
        table = render(report)
        for name, text in (simulated.rows() if simulated else {}).items():
            table.add_row(name, text)
        PlainConsole().print(table)
    return 0


def render(report: PlanReport) -> Table:
    """The report as a table."""
    table = Table(title=f"Batch plan of epoch {report.epoch}", show_header=False)
    used = report.num_used / report.num_eligible
    rows = {
        "steps per epoch": f"{report.num_steps:,}",
        "batch": f"{_levels(report)} "
        f"= {report.batch_size} clips, {report.reads_per_movie} reads per movie",
        "rho": f"{report.rho:.4f} (share of negatives from the same movie)",
        "eligible": f"{report.num_eligible:,} of {report.num_rows:,} clips, "
        f"{report.num_groups:,} movies",
        "used": f"{report.num_used:,} clips ({used:.2%})",
        "unused": _unused(report.unused),
        "capped movies": _names(report.capped_groups),
        "copies left out": _copies(report.copies),
        "read per step": f"{report.reads_per_step:,.1f} reads, "
        f"{report.bytes_per_step / 1e6:,.1f} MB",
        "time between clips": f"minimum {report.gap_seconds_least:.1f} s, median "
        f"{report.gap_seconds_median:.1f} s (closest pair of a movie in a batch)",
        "numbers of ranks": ", ".join(map(str, report.world_sizes)),
        "meet again, same movie": _again(report.within),
        "meet again, other movie": _again(report.across),
    }
    if report.repeats:
        rows["repeats left out"] = _repeats(report.repeats)
    if report.datasets:
        rows["datasets"] = "\n".join(report.datasets)
    if report.phases:
        rows["schedule"] = "\n".join(report.phases)
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _levels(report: PlanReport) -> str:
    m, e, k = report.movies_per_batch, report.episodes_per_group, report.clips_per_movie
    return f"{m} groups x {e} movies x {k} clips" if e else f"{m} movies x {k} clips"


def _reads(index: ClipIndex, positions: NDArray[np.int64], max_gap_bytes: int) -> tuple[int, int]:
    """Number of ranged reads of a plan and their bytes."""
    clips = np.sort(positions.reshape(-1, positions.shape[-1]), axis=-1)
    columns = (index.shard[clips], index.offset[clips], index.num_bytes[clips])
    return merged_totals(*columns, max_gap_bytes)


def _smallest_gaps_ns(index: ClipIndex, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each movie of each batch with at least two clips, the smallest time between starts."""
    if positions.shape[-1] < 2:
        return np.empty(0, dtype=np.int64)
    movie, start = index.movie[positions], index.start_ns[positions]
    order = np.lexsort((start, movie), axis=-1)
    movie = np.take_along_axis(movie, order, axis=-1)
    gap = np.diff(np.take_along_axis(start, order, axis=-1), axis=-1)
    # With group_by = group, neighbors may belong to different movies, which have no gap.
    gap[np.diff(movie, axis=-1) != 0] = np.iinfo(np.int64).max
    smallest: NDArray[np.int64] = gap.min(axis=-1).ravel()
    return smallest[smallest < np.iinfo(np.int64).max]


def _unused(unused: dict[str, int]) -> str:
    reasons = {name.replace("_", " "): count for name, count in unused.items() if count}
    listed = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
    return f"{sum(unused.values()):,} clips" + (f" ({listed})" if listed else "")


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more or "none"


def _copies(copies: tuple[MovieCopy, ...]) -> str:
    if not copies:
        return "none"
    names = _names(tuple(f"{copy.movie_id} (as {copy.copy_of})" for copy in copies))
    return f"{len(copies):,} movies with {sum(c.num_clips for c in copies):,} clips: {names}"


def _repeats(repeats: tuple[Repeat, ...]) -> str:
    names = _names(
        tuple(
            f"{repeat.num_clips:,} of {repeat.movie_id} ({repeat.kind}"
            f"{f', as {repeat.repeats}' if repeat.repeats else ''})"
            for repeat in repeats
        )
    )
    return f"{sum(repeat.num_clips for repeat in repeats):,} clips: {names}"


def _again(meet: MeetAgain) -> str:
    return f"{meet.share:.2%} of pairs in a later epoch, {meet.share_random:.2%} at random"
