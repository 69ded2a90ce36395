"""Jobs for loaders: which clips to load into which slots of a batch, and what went wrong.

A loader, in threads or in a worker process, has one method: `start(job, arrays)`. It returns a
future with the slots that could not be filled; the future raises `StorageError` when clips cannot
be read, and `LoaderDiedError` when a worker process has died.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.loader.batch_memory import BatchArrays


@dataclass(frozen=True)
class Problem:
    """Why a slot has no clip."""

    reason: str
    """`checksum` or `format`."""
    message: str


Problems = dict[int, Problem]
"""By slot."""


@dataclass(frozen=True, eq=False)
class FillJob:
    """Clips of a batch and the slot of each; neighbors in a shard are read together."""

    clips: Sequence[ClipLocation]
    slots: Sequence[int]
    seed: int
    """Determines the random crop, together with epoch and crop id."""
    epoch: int
    crop_ids: Sequence[str]
    """The clip id that determines each clip's crop: joined clips have that of the first."""


class Loader(Protocol):
    """Fills slots of batches."""

    def start(self, job: FillJob, arrays: BatchArrays) -> Future[Problems]:
        """Start filling the slots of `job`; the future has the slots that could not be filled."""
        ...

    def release(self, buffer_number: int) -> None:
        """Drop a buffer that gets no more jobs."""
        ...

    def begin_close(self) -> None:
        """Start to shut down; does not wait."""
        ...

    def close(self) -> None:
        """Drop jobs in progress and stop."""
        ...
