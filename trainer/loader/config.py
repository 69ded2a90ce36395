"""Settings and counters of the stream."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shards_spec.errors import FormatError, InputError
from shards_spec.recipe import Recipe

#: Waiting for less than this share of the time is not worth a name.
MIN_WAIT = 0.02

#: A stage that is busy for less than this share of the time limits nothing.
MIN_BUSY = 0.2

#: The rate of bad clips is judged against at least so many, so that the first one ends no run.
MIN_JUDGED_CLIPS = 1000


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How clips travel from storage into batches. None of it changes which clips a batch holds."""

    frame_size: int = 128
    """Side of the square that is cut from the stored frames, pixels; at most their short side."""
    crop: Literal["random", "center"] = "random"
    """Where the square lies: at random by (seed, epoch, clip), or in the middle."""
    num_processes: int = 1
    """Loader processes beside the training process; 0 loads in threads of the training process."""
    num_threads: int = 4
    """Threads that decode, in each loader process."""
    reads_in_flight: int = 16
    """Ranged reads that are under way at once, in each loader process."""
    prefetch_batches: int = 4
    """Batches that are prepared ahead of the one in use."""
    prefetch_bytes: int = 2 * 1024**3
    """Bound on the bytes of these batches; at least one is prepared."""
    max_hole_bytes: int = 1024 * 1024
    """Unwanted bytes between two clips that one read goes over instead of splitting."""
    pin_memory: bool = False
    """Page-locked batches, for fast copies to a GPU."""
    max_bad_fraction: float = 0.01
    """Share of clips that may be unreadable before the run ends; judged against at least 1000."""
    deadline_seconds: float = 120.0
    """How long a failing read is tried again."""
    cache_dir: str = ""
    """Local folder in which clips are kept for later epochs and other jobs; empty for none."""
    cache_bytes: int = 10 * 1024**3
    """Bound on that folder, for all its users together."""

    def __post_init__(self) -> None:
        for name in ("frame_size", "num_threads", "reads_in_flight", "prefetch_batches"):
            _require(getattr(self, name) >= 1, f"{name} = {getattr(self, name)}: at least 1")
        for name in ("num_processes", "prefetch_bytes", "max_hole_bytes", "cache_bytes"):
            _require(getattr(self, name) >= 0, f"{name} = {getattr(self, name)}: at least 0")
        _require(
            self.deadline_seconds >= 0.0,
            f"deadline_seconds = {self.deadline_seconds}: at least 0",
        )
        _require(self.crop in ("random", "center"), f"crop = {self.crop!r}: random or center")
        fraction = self.max_bad_fraction
        _require(0.0 <= fraction <= 1.0, f"max_bad_fraction = {fraction}: between 0 and 1")

    def check(self, recipe: Recipe) -> None:
        """Raise `InputError` when the square does not fit in the dataset's frames."""
        if self.frame_size > recipe.short_side:
            raise InputError(
                f"stream: frame_size = {self.frame_size} is more than the stored short side of "
                f"{recipe.short_side} pixels; set it to at most {recipe.short_side}"
            )


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

    def occupancy(self, earlier: StreamStats, seconds: float, config: StreamConfig) -> Occupancy:
        """How busy each stage was in the `seconds` since `earlier`."""
        helpers = max(1, config.num_processes)
        read = (self.read_seconds - earlier.read_seconds) / (config.reads_in_flight * helpers)
        decode = (self.decode_seconds - earlier.decode_seconds) / (config.num_threads * helpers)
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


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(f"stream: {message}")
