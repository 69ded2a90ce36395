"""What the stream has done: counters, snapshots, and which stage is the bottleneck."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from shards_spec.errors import FormatError

#: Below this share of time spent waiting, there is no bottleneck.
MIN_WAIT = 0.02

#: A stage that is busy for less than this share of the time is not the bottleneck.
MIN_BUSY = 0.2

#: The share of bad clips is taken of at least this many, so one early bad clip stops no run.
MIN_JUDGED_CLIPS = 1000


@dataclass(frozen=True)
class StreamStats:
    """Totals of a stream so far."""

    num_batches: int
    """Batches returned."""
    num_clips: int
    """Clips returned."""
    bytes_read: int
    num_requests: int
    """Requests sent, retries included."""
    num_retries: int
    """Reads repeated after a failure or a wrong checksum."""
    bytes_reused: int
    """Bytes that had arrived before a read failed and were not requested again."""
    num_hedges: int
    """Second requests sent because the first one was slow."""
    num_cache_hits: int
    """Clips read from the cache."""
    bad_clips: Mapping[str, int]
    """Unreadable clips by reason: `checksum`, `format`."""
    wait_seconds: float
    """Time the consumer waited for batches."""
    read_seconds: float
    """Time spent reading from storage or cache, summed over reading threads."""
    decode_seconds: float
    """Time spent decoding, summed over decoding threads."""
    queue_depth: int
    """Batches that are ready."""

    @staticmethod
    def none() -> StreamStats:
        """The totals of a stream that has done nothing yet."""
        return Counters().snapshot(0)

    def occupancy(
        self, earlier: StreamStats, seconds: float, *, num_readers: int, num_decoders: int
    ) -> Occupancy:
        """How busy each stage was in the `seconds` since `earlier`."""
        read = (self.read_seconds - earlier.read_seconds) / num_readers
        decode = (self.decode_seconds - earlier.decode_seconds) / num_decoders
        waited = self.wait_seconds - earlier.wait_seconds
        return Occupancy(*(value / max(seconds, 1e-9) for value in (waited, read, decode)))


@dataclass(frozen=True)
class Occupancy:
    """Shares of a time interval, [0, 1]."""

    wait: float
    """Share in which the consumer waited for a batch."""
    read: float
    """Mean share in which a reading thread was reading."""
    decode: float
    """Mean share in which a decoding thread was decoding."""

    @property
    def bottleneck(self) -> str:
        """What to look at first: `none` while batches are in time, else the busier stage.

        `network` means storage and the connection to it, `decode` the cores that decode. `copy` is
        what remains when neither was busy: planning and hand-over, in the training process itself.
        """
        if self.wait < MIN_WAIT:
            return "none"
        if max(self.read, self.decode) < MIN_BUSY:
            return "copy"
        return "network" if self.read > self.decode else "decode"


class Counters:
    """The mutable counts that `StreamStats` is a snapshot of; thread-safe."""

    def __init__(self) -> None:
        self.bad_clips: Counter[str] = Counter()
        self.wait_seconds = 0.0
        self._counts: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, **amounts: float) -> None:
        """Add to counts by name, such as `num_clips=8`."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def take(self) -> dict[str, float]:
        """The counts since the last call, for adding to those of another process."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
            return dict(counts)

    def add_bad(self, reason: str) -> int:
        """Count a bad clip; returns the new total."""
        with self._lock:
            self.bad_clips[reason] += 1
            return self.bad_clips.total()

    def check_bad(self, max_fraction: float, uri: str, last: str) -> None:
        """Raise `FormatError` when more than this share of the clips are bad."""
        num_bad, num_clips = self.bad_clips.total(), int(self._counts["num_clips"])
        if num_bad > max_fraction * max(num_clips, MIN_JUDGED_CLIPS):
            reasons = ", ".join(f"{count} {name}" for name, count in sorted(self.bad_clips.items()))
            raise FormatError(
                f"{uri}: {num_bad} of the first {num_clips + num_bad} clips are unreadable "
                f"({reasons}), more than max_bad_fraction = {max_fraction:g}; most recent: {last}; "
                f"check the dataset with: python -m shards_spec validate {uri}"
            )

    def snapshot(self, queue_depth: int) -> StreamStats:
        """The counts now."""
        with self._lock:
            return StreamStats(
                num_batches=int(self._counts["num_batches"]),
                num_clips=int(self._counts["num_clips"]),
                bytes_read=int(self._counts["bytes_read"]),
                num_requests=int(self._counts["num_requests"]),
                num_retries=int(self._counts["num_retries"]),
                bytes_reused=int(self._counts["bytes_reused"]),
                num_hedges=int(self._counts["num_hedges"]),
                num_cache_hits=int(self._counts["num_cache_hits"]),
                bad_clips=dict(self.bad_clips),
                wait_seconds=self.wait_seconds,
                read_seconds=self._counts["read_seconds"],
                decode_seconds=self._counts["decode_seconds"],
                queue_depth=queue_depth,
            )
