"""Packets in memory, for readers of headers that expect them in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from pipeline.probe.frame_headers.placed_packets import Read


def placed(packets: Sequence[bytes]) -> tuple[Read, Iterator[tuple[int, int]]]:
    """A file of nothing but these packets: a function that reads it, and where they are."""
    data = b"".join(packets)
    ends = accumulate(map(len, packets))
    ranges = ((end - len(packet), end) for packet, end in zip(packets, ends, strict=True))
    return lambda start, end: data[max(0, start) : end], ranges
