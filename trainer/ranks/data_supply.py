"""How well the ranks were supplied with batches over a period of time.

Ranks step together, so the rank that waits longest for its data delays all of them, and none of the
others notices: time shares, queue depth and bottleneck are those of the rank that waited most.
Counts are sums over ranks since the launch began.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.data.fetch.counters import Occupancy, StreamStats
from trainer.ranks.world import World

#: Why a clip can be unusable; see `trainer.data.loader.loader.Problem`.
BAD_REASONS = ("checksum", "format")


@dataclass(frozen=True)
class DataSupply:
    """Data metrics over all ranks."""

    occupancy: Occupancy
    """Of the rank that waited most."""
    queue_depth: int
    """Batches that this rank has ready."""
    counts: dict[str, float]
    """Sums by name."""

    @staticmethod
    def of(world: World, occupancy: Occupancy, stats: StreamStats) -> DataSupply:
        """Combine each rank's own values; every rank must call it."""
        counts = _counts(stats)
        own = [occupancy.wait, occupancy.read, occupancy.decode, float(stats.queue_depth)]
        ranks = world.gather([*own, *counts.values()])
        wait, read, decode, queue_depth = max(ranks, key=lambda rank: rank[0])[: len(own)]
        sums = [sum(column) for column in zip(*ranks, strict=True)][len(own) :]
        return DataSupply(
            Occupancy(wait, read, decode), int(queue_depth), dict(zip(counts, sums, strict=True))
        )

    def metrics(self) -> dict[str, float]:
        """By metric name."""
        return {
            "data/wait_fraction": self.occupancy.wait,
            "data/queue_batches": float(self.queue_depth),
            "data/read_occupancy": self.occupancy.read,
            "data/decode_occupancy": self.occupancy.decode,
            **{f"data/{name}": value for name, value in self.counts.items()},
        }


def _counts(stats: StreamStats) -> dict[str, float]:
    return {
        "read_bytes": float(stats.bytes_read),
        "requests": float(stats.num_requests),
        "retries": float(stats.num_retries),
        "hedges": float(stats.num_hedges),
        "cache_hits": float(stats.num_cache_hits),
        "bad_clips": float(sum(stats.bad_clips.values())),
        **{f"bad_clips_{reason}": float(stats.bad_clips.get(reason, 0)) for reason in BAD_REASONS},
    }
