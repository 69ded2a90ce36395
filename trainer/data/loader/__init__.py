"""From bytes to decoded clips in the memory of a batch. No torch: loader workers import it.

More than six names: a loader and its caller share the vocabulary of a batch's memory.
"""

from __future__ import annotations

from trainer.data.loader import batch_memory, jobs
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.loader import ThreadLoader
from trainer.data.loader.worker_handle import LoaderWorker

__all__ = [
    "LoaderWorker",
    "StreamConfig",
    "ThreadLoader",
    "batch_memory",
    "jobs",
]
