"""From bytes to decoded clips in the memory of a batch. No torch: loader workers import it.

More than six names: a loader and its caller share the vocabulary of a batch's memory.
"""

from __future__ import annotations

from trainer.data.loader.batch_memory import BatchArrays, BatchShape, SharedBuffer
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.jobs import FillJob, Loader, Problem
from trainer.data.loader.loader import ThreadLoader
from trainer.data.loader.worker_handle import LoaderWorker

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
