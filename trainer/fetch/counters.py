"""What the stream has done: counters, snapshots, and which stage limits it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from shards_spec.errors import FormatError

#: Waiting for less than this share of the time is not worth a name.
MIN_WAIT = 0.02

#: A stage that is busy for less than this share of the time limits nothing.
MIN_BUSY = 0.2

#: The rate of bad clips is judged against at least so many, so that the first one ends no run.
MIN_JUDGED_CLIPS = 1000


@dataclass(frozen=True)
class StreamStats:
    """What a stream has done so far."""

    num_batches: int
    """Batches handed out."""
    num_clips: int
    """Clips handed out."""
    bytes_read: int
    num_requests: int
    """Reads that were sent, the repeated ones too."""
    num_retries: int
    """Reads that were repeated, after a failure or a wrong checksum."""
    bytes_kept: int
    """Bytes of failed reads that had arrived and were not asked for again."""
    num_hedges: int
    """Second requests beside slow ones."""
    num_cache_hits: int
    """Clips that the cache had."""
    bad_clips: Mapping[str, int]
    """Unreadable clips by reason: `checksum`, `format`."""
    wait_seconds: float
    """Time that the consumer waited for batches."""
    read_seconds: float
    """Time that reading threads spent on reads, of the store or the cache, summed over them."""
    decode_seconds: float
    """Time that decoding threads spent on clips, summed over them."""
    queue_depth: int
    """Batches that are ready."""

    @staticmethod
    def none() -> StreamStats:
        """Of a stream that has done nothing."""
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
    """Shares of a stretch of time."""

    wait: float
    """In which the consumer waited for a batch."""
    read: float
    """In which a reading thread had a read under way, on average."""
    decode: float
    """In which a decoding thread worked on a clip, on average."""

    @property
    def limit(self) -> str:
        """What to look at first: `none` while data is in time, else the busier stage.

        `network` is the store and the way to it; `decode` the cores that decode; `copy` what is
        left when neither was busy: handing over and planning, in the training process itself.
        """
        if self.wait < MIN_WAIT:
            return "none"
        if max(self.read, self.decode) < MIN_BUSY:
            return "copy"
        return "network" if self.read > self.decode else "decode"


class Counters:
    """The counts behind `StreamStats`; safe to change from any thread."""

    def __init__(self) -> None:
        self.bad_clips: Counter[str] = Counter()
        self.wait_seconds = 0.0
        self._counts: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, **amounts: float) -> None:
        """Add to counts by name: `num_clips=8`."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def take(self) -> dict[str, float]:
        """The counts since the last call, to be added to another process's."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
            return dict(counts)

    def add_bad(self, reason: str) -> int:
        """Count a bad clip; returns how many there are now."""
        with self._lock:
            self.bad_clips[reason] += 1
            return self.bad_clips.total()

    def check_bad(self, max_fraction: float, uri: str, last: str) -> None:
        """Raise `FormatError` when too many clips are bad."""
        num_bad, num_clips = self.bad_clips.total(), int(self._counts["num_clips"])
        if num_bad > max_fraction * max(num_clips, MIN_JUDGED_CLIPS):
            reasons = ", ".join(f"{count} {name}" for name, count in sorted(self.bad_clips.items()))
            raise FormatError(
                f"{uri}: {num_bad} of the first {num_clips + num_bad} clips are unreadable "
                f"({reasons}), more than max_bad_fraction = {max_fraction:g}; the last: {last}; "
                f"check the dataset with: python -m shards_spec validate {uri}"
            )

    def snapshot(self, queue_depth: int) -> StreamStats:
        """The counts as they stand."""
        with self._lock:
            return StreamStats(
                num_batches=int(self._counts["num_batches"]),
                num_clips=int(self._counts["num_clips"]),
                bytes_read=int(self._counts["bytes_read"]),
                num_requests=int(self._counts["num_requests"]),
                num_retries=int(self._counts["num_retries"]),
                bytes_kept=int(self._counts["bytes_kept"]),
                num_hedges=int(self._counts["num_hedges"]),
                num_cache_hits=int(self._counts["num_cache_hits"]),
                bad_clips=dict(self.bad_clips),
                wait_seconds=self.wait_seconds,
                read_seconds=self._counts["read_seconds"],
                decode_seconds=self._counts["decode_seconds"],
                queue_depth=queue_depth,
            )
