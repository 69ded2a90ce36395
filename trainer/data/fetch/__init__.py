"""From clip locations to the bytes of clips: ranged reads, retries, cache, counters. No torch.

More than six names: the counters of the whole stream are kept here, in its lowest room.
"""

from __future__ import annotations

from trainer.data.fetch import clip_location, counters, ranges, reader
from trainer.data.fetch.cache import ClipCache
from trainer.data.fetch.threads import DaemonPool

__all__ = [
    "ClipCache",
    "DaemonPool",
    "clip_location",
    "counters",
    "ranges",
    "reader",
]
