"""Settings of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from shards_spec.errors import InputError, require
from shards_spec.recipe import Recipe

_require = partial(require, "stream")


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

    @property
    def num_readers(self) -> int:
        """Threads that read, in all loader processes together."""
        return self.reads_in_flight * max(1, self.num_processes)

    @property
    def num_decoders(self) -> int:
        """Threads that decode, in all loader processes together."""
        return self.num_threads * max(1, self.num_processes)

    def check(self, recipe: Recipe) -> None:
        """Raise `InputError` when the square does not fit in the dataset's frames."""
        if self.frame_size > recipe.short_side:
            raise InputError(
                f"stream: frame_size = {self.frame_size} is more than the stored short side of "
                f"{recipe.short_side} pixels; set it to at most {recipe.short_side}"
            )
