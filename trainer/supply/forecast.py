"""What a training needs of its store and its cores, and how long it will wait for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.ranges import merge_ranges
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.stream import ClipStream
from trainer.settings import SupplyConfig
from trainer.supply.simulation import Machine, Read, simulate

#: Batches by which the time to decode a clip is measured, after one to warm up.
_MEASURED_BATCHES = 4
#: Below this share of time spent waiting, nothing limits the training.
_MIN_WAIT = 0.01


@dataclass(frozen=True, kw_only=True)
class SupplyForecast:
    """A simulated training; all figures are of all ranks together unless they say otherwise."""

    num_steps: int
    """Steps that were simulated."""
    clips_per_second: float
    """Clips per second, waiting included."""
    wait_fraction: float
    """Share of time in which the training step waits for data, after the first batch."""
    first_batch_seconds: float
    """Time until the first batch is complete, without starting processes."""
    limit: str
    """What limits the training: `none`, or `latency`, `bandwidth` or `decoding`."""
    clips_per_second_by: dict[str, float]
    """Clips per second that each of `latency`, `bandwidth` and `decoding` allows by itself."""
    decode_ms: float
    """Time in which a core decodes a clip."""
    cores_needed: float
    """Cores that decode all the time so that no step waits, per rank."""
    reads_per_second: float
    """At the full speed of the training step."""
    megabytes_per_second: float
    """Likewise."""
    reads_per_epoch: float
    gigabytes_per_epoch: float
    price_per_epoch: float
    """For reads and bytes, in the currency of the given prices."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def rows(self) -> dict[str, str]:
        """The figures as text, by name."""
        allowed = ", ".join(
            f"{name} {value:,.0f}" for name, value in self.clips_per_second_by.items()
        )
        return {
            "simulated": f"{self.num_steps:,} steps: {self.clips_per_second:,.0f} clips/s, waiting "
            f"{self.wait_fraction:.1%} of the time, first batch after "
            f"{self.first_batch_seconds:.2f} s",
            "limited by": self.limit,
            "possible clips/s": allowed,
            "needed": f"{self.reads_per_second:,.1f} reads/s, {self.megabytes_per_second:,.1f} "
            f"MB/s, {self.cores_needed:.1f} cores per rank ({self.decode_ms:.2f} ms a clip)",
            "price of an epoch": f"{self.price_per_epoch:,.2f} for {self.reads_per_epoch:,.0f} "
            f"reads and {self.gigabytes_per_epoch:,.1f} GB",
        }


def forecast(
    dataset: Dataset,
    index: ClipIndex,
    seed: int,
    stream: StreamConfig,
    supply: SupplyConfig,
) -> SupplyForecast:
    """Simulate the first steps of epoch 0.

    Raises:
        InputError: no clips per second are given.
        PolicyError: the policy is impossible, or a batch cannot be divided among so many ranks.
    """
    if not supply.clips_per_second:
        raise InputError("clips_per_second = 0: give the speed of the training step")
    policy = index.policy.at_step(0)
    if policy.movies_per_batch % supply.ranks:
        raise PolicyError(
            f"{policy.movies_per_batch} movies per batch cannot be divided among {supply.ranks} "
            "ranks; choose a number of ranks that divides it"
        )
    plan = plan_epoch(index, policy, seed, 0)
    decode_ms = supply.decode_ms or measured_decode_ms(dataset, policy, stream, seed)
    batches = []
    for step in range(min(supply.steps, plan.num_steps)):
        rows = plan.for_rank(step, 0, supply.ranks)
        joined = index.joined_rows(rows) if policy.joined_clips > 1 else rows
        batches.append(_reads(ClipLocation.take(dataset.clips, joined.ravel()), stream))
    machine = Machine(
        num_readers=stream.num_readers,
        num_decoders=min(stream.num_decoders, supply.cores or stream.num_decoders),
        depth=stream.prefetch_batches,
        latency=supply.latency_ms / 1e3,
        bytes_per_second=supply.megabytes_per_second * 1e6,
        decode=decode_ms / 1e3,
    )
    return _figures(batches, machine, policy, plan.num_steps, supply)


def _reads(clips: Sequence[ClipLocation], stream: StreamConfig) -> list[Read]:
    reads = merge_ranges(clips, stream.max_gap_bytes)
    return [Read(read.length, len(read.numbers)) for read in reads]


def _figures(
    batches: Sequence[Sequence[Read]],
    machine: Machine,
    policy: BatchPolicy,
    num_steps: int,
    supply: SupplyConfig,
) -> SupplyForecast:
    step_seconds = policy.batch_size / supply.clips_per_second
    course = simulate(batches, machine, step_seconds)
    wait = float(course.waits[1:].sum())
    working = step_seconds * len(course.waits[1:])
    wait_fraction = wait / (wait + working) if working else 0.0
    reads = [read for batch in batches for read in batch]
    num_reads, num_bytes = len(reads), sum(read.num_bytes for read in reads)
    num_clips = policy.batch_size * len(batches)
    # Of all ranks: each has its own connection and its own cores.
    in_flight = machine.latency + num_bytes / num_reads / machine.bytes_per_second
    decoded = supply.ranks * machine.num_decoders / machine.decode if machine.decode else np.inf
    allowed = {
        "latency": num_clips / (num_reads * in_flight / machine.num_readers),
        "bandwidth": num_clips / (num_bytes / machine.bytes_per_second),
        # Of joined clips, each part is decoded.
        "decoding": decoded / policy.joined_clips,
    }
    steps_per_second = supply.clips_per_second / policy.batch_size
    reads_per_step = supply.ranks * num_reads / len(batches)
    bytes_per_step = supply.ranks * num_bytes / len(batches)
    return SupplyForecast(
        num_steps=len(batches),
        clips_per_second=supply.clips_per_second * (1 - wait_fraction),
        wait_fraction=wait_fraction,
        first_batch_seconds=float(course.ready[0]),
        limit="none" if wait_fraction < _MIN_WAIT else min(allowed, key=allowed.__getitem__),
        clips_per_second_by={name: float(value) for name, value in allowed.items()},
        decode_ms=machine.decode * 1e3,
        cores_needed=supply.clips_per_second * policy.joined_clips * machine.decode / supply.ranks,
        reads_per_second=reads_per_step * steps_per_second,
        megabytes_per_second=bytes_per_step * steps_per_second / 1e6,
        reads_per_epoch=reads_per_step * num_steps,
        gigabytes_per_epoch=bytes_per_step * num_steps / 1e9,
        price_per_epoch=num_steps
        * (
            reads_per_step * supply.price_per_million_reads / 1e6
            + bytes_per_step * supply.price_per_gigabyte / 1e9
        ),
    )


def measured_decode_ms(
    dataset: Dataset, policy: BatchPolicy, stream: StreamConfig, seed: int
) -> float:
    """Milliseconds in which one core of this machine decodes a clip, by a few batches.

    Raises `StorageError` when clips cannot be read.
    """
    alone = dataclasses.replace(
        stream, num_processes=0, num_threads=1, cache_dir="", prefetch_batches=1
    )
    with ClipStream(dataset, policy, alone, seed=seed) as clips:
        next(clips)
        before = clips.stats()
        for _ in range(_MEASURED_BATCHES):
            next(clips)
        after = clips.stats()
    # The one batch in progress counts alike in both figures.
    num_clips = after.num_clips - before.num_clips
    return 1e3 * (after.decode_seconds - before.decode_seconds) / num_clips
