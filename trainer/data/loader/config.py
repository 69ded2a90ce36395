"""Settings of the stream."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from functools import partial
from typing import Literal

from shards_spec.errors import InputError, require
from shards_spec.recipe import Recipe
from trainer.data.loader.cuda_decode import check_cuda_decode

_require = partial(require, "stream")


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How clips get from storage into batches. Nothing here changes which clips a batch has."""

    frame_size: int = 128
    """Side of the square that is cut from the stored frames, pixels; at most their short side."""
    crop: Literal["random", "center"] = "random"
    """Position of the square: random by (seed, epoch, clip), or centered."""
    decode: Literal["cpu", "cuda"] = "cpu"
    """Where JPEGs are decoded. cuda (nvJPEG, needs torchvision) is for machines with few cores;
    its pixels differ slightly."""
    num_processes: int = 1
    """Loader worker processes; 0 loads in threads of the training process; -1 chooses processes and
    threads by the machine's cores and the number of ranks on it."""
    num_threads: int = 4
    """Decoding threads per loader worker."""
    reads_in_flight: int = 16
    """Concurrent ranged reads per loader worker."""
    prefetch_batches: int = 4
    """Batches prepared ahead of the current one."""
    prefetch_bytes: int = 2 * 1024**3
    """Bound on the bytes of these batches; at least one is always prepared."""
    max_gap_bytes: int = 1024 * 1024
    """Two clips share a ranged read if at most this many unneeded bytes lie between them."""
    pin_memory: bool = False
    """Page-lock the memory of batches, for faster copies to a GPU."""
    max_bad_fraction: float = 0.01
    """Stop the run when more than this share of its clips (of at least 1000) is unreadable."""
    deadline_seconds: float = 120.0
    """How long a failing read is retried."""
    cache_dir: str = ""
    """Local folder that caches clips for later epochs and other jobs; empty for no cache."""
    cache_bytes: int = 10 * 1024**3
    """Bound on the size of that folder, for all its users together."""

    def __post_init__(self) -> None:
        for name in ("frame_size", "num_threads", "reads_in_flight", "prefetch_batches"):
            _require(
                getattr(self, name) >= 1, f"{name} = {getattr(self, name)}: must be at least 1"
            )
        for name in ("prefetch_bytes", "max_gap_bytes", "cache_bytes"):
            _require(
                getattr(self, name) >= 0, f"{name} = {getattr(self, name)}: must be at least 0"
            )
        _require(
            self.num_processes >= -1,
            f"num_processes = {self.num_processes}: must be at least 0, or -1 to choose",
        )
        _require(
            self.deadline_seconds >= 0.0,
            f"deadline_seconds = {self.deadline_seconds}: must be at least 0",
        )
        _require(
            self.crop in ("random", "center"), f"crop = {self.crop!r}: must be random or center"
        )
        _require(self.decode in ("cpu", "cuda"), f"decode = {self.decode!r}: must be cpu or cuda")
        fraction = self.max_bad_fraction
        _require(0.0 <= fraction <= 1.0, f"max_bad_fraction = {fraction}: must be between 0 and 1")

    def on_this_machine(self) -> StreamConfig:
        """`fitted` to the cores that this process may use and the ranks that share them."""
        if hasattr(os, "sched_getaffinity"):
            num_cores = len(os.sched_getaffinity(0))
        else:
            num_cores = os.cpu_count() or 1
        return self.fitted(num_cores, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    def fitted(self, num_cores: int, ranks_per_node: int) -> StreamConfig:
        """The same settings, with processes and threads chosen for the machine if they are -1.

        Args:
            num_cores: cores that the processes of all ranks on this machine share.
            ranks_per_node: ranks on this machine.
        """
        if self.num_processes >= 0:
            return self
        if self.decode == "cuda":
            own_cores = max(1, num_cores // max(1, ranks_per_node))
            return dataclasses.replace(self, num_processes=0, num_threads=own_cores)
        processes, threads = loader_shape(num_cores, ranks_per_node)
        return dataclasses.replace(self, num_processes=processes, num_threads=threads)

    @property
    def num_readers(self) -> int:
        """Reading threads of all loader workers together."""
        return self.reads_in_flight * max(1, self.num_processes)

    @property
    def num_decoders(self) -> int:
        """Decoding threads of all loader workers together."""
        return self.num_threads * max(1, self.num_processes)

    def check(self, recipe: Recipe) -> None:
        """Raise `InputError` when the dataset or the machine cannot serve these settings."""
        if self.decode == "cuda":
            check_cuda_decode(self.num_processes)
        if self.frame_size > recipe.short_side:
            raise InputError(
                f"stream: frame_size = {self.frame_size} exceeds the stored short side of "
                f"{recipe.short_side} pixels; set it to at most {recipe.short_side}"
            )


def loader_shape(num_cores: int, ranks_per_node: int) -> tuple[int, int]:
    """Loader processes and decoding threads in each, for one rank: a thread per core of its share.

    Processes of two threads deliver most (`benchmarks/results/gpu.md`): more threads wait for each
    other's lock, more processes for their turn on the training process's sockets.
    """
    own_cores = max(1, num_cores // max(1, ranks_per_node))
    if own_cores < 4:
        return 1, max(1, own_cores - 1)
    return min(8, own_cores // 2), 2
