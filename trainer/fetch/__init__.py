"""Bytes of clips from a store (no torch)."""

from __future__ import annotations

from trainer.fetch.buffer_pool import Bytes, ReadBytes
from trainer.fetch.cache import ClipCache
from trainer.fetch.clip_location import COLUMNS, ClipPlace, take_places
from trainer.fetch.counters import Counters, Occupancy, StreamStats
from trainer.fetch.fetcher import Fetcher
from trainer.fetch.ranges import MAX_READ_BYTES, Read, join_reads
from trainer.fetch.threads import Countdown, Threads

__all__ = [
    "COLUMNS",
    "MAX_READ_BYTES",
    "Bytes",
    "ClipCache",
    "ClipPlace",
    "Countdown",
    "Counters",
    "Fetcher",
    "Occupancy",
    "Read",
    "ReadBytes",
    "StreamStats",
    "Threads",
    "join_reads",
    "take_places",
]
