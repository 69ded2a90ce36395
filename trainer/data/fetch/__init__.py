"""From clip locations to the bytes of clips: ranged reads, retries, cache, counters. No torch.

More than six names: the counters of the whole stream are kept here, in its lowest room.
"""

from __future__ import annotations

from trainer.data.fetch.cache import ClipCache
from trainer.data.fetch.clip_location import ClipLocation, ClipRows
from trainer.data.fetch.counters import Counters, Occupancy, StreamStats
from trainer.data.fetch.ranges import merge_ranges, merged_totals
from trainer.data.fetch.reader import ClipReader, FetchedClips
from trainer.data.fetch.threads import DaemonPool

__all__ = [
    "ClipCache",
    "ClipLocation",
    "ClipReader",
    "ClipRows",
    "Counters",
    "DaemonPool",
    "FetchedClips",
    "Occupancy",
    "StreamStats",
    "merge_ranges",
    "merged_totals",
]
