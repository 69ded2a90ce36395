"""From bytes to decoded clips in the memory of a batch. No torch: loader workers import it.

More than six names: a loader and its caller share the vocabulary of a batch's memory.
"""

from __future__ import annotations

from trainer.loader.batch_memory import BatchArrays, BatchShape, SharedBuffer
from trainer.loader.config import StreamConfig
from trainer.loader.jobs import FillJob, Loader, Problem
from trainer.loader.loader import ThreadLoader
from trainer.loader.worker_handle import LoaderWorker

__all__ = [
    "BatchArrays",
    "BatchShape",
    "FillJob",
    "Loader",
    "LoaderWorker",
    "Problem",
    "SharedBuffer",
    "StreamConfig",
    "ThreadLoader",
]
