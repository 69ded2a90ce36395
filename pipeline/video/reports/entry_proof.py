"""Proves that a decoding run which started in the middle reads what a run from the start reads.

That ffmpeg found a keyframe early enough is not enough: some demuxers give packets other times
after a seek, leave some out, or end up elsewhere in a file whose clock is ambiguous. So the packets
of the run are compared with the sequential listing (`Probe.packet_order`), from the entry on:

    listing   ... p p p K p p p p p p p p p ...      in file order
    run               x K p p p p p p                equal from K on, as far as needed
                        ^ entry                      (before K: leading packets, not used)

The decoder's configuration at the entry is compared in advance: keyframes after a change of it are
not entries at all, unless they bring their own (`PacketOrder.num_configured`,
`Probe.keyframes_ns`).
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.streams.packets import PacketOrder

#: What `-debug_ts` reports about a packet that leaves the demuxer; only the mapped stream does.
_DEMUXED = re.compile(r"demuxer -> \S+ type:video pkt_pts:(-?\d+) ")


class EntryProof:
    """Collects the packets of one run and compares them with the listing. Times are ticks."""

    def __init__(self, order: PacketOrder, entry_pts: int) -> None:
        """For a run that enters at the keyframe with container time `entry_pts`."""
        self._order = order
        self._entry_pts = entry_pts
        self._packets: list[int] = []
        """Of the run, from the entry on."""

    def note(self, line: str) -> None:
        """Process one line of ffmpeg's stderr."""
        if "demuxer -> " in line and (match := _DEMUXED.search(line)):
            pts = int(match.group(1))
            if self._packets or pts == self._entry_pts:
                self._packets.append(pts)

    def holds_until(self, pts: int) -> bool:
        """Whether the run read the listed packets, up to the first one that is later than `pts`."""
        listed = self._listed()
        later = np.flatnonzero(listed > pts)
        expected = listed[: later[0]] if len(later) else listed
        packets = np.array(self._packets[: len(expected)], np.int64)
        return len(listed) > 0 and np.array_equal(packets, expected)

    def _listed(self) -> NDArray[np.int64]:
        """The listing from the entry on; empty if the entry is not in it."""
        listed = _pts(self._order)
        entries = np.flatnonzero(listed == self._entry_pts)
        return listed[entries[0] :] if len(entries) else listed[:0]


@lru_cache(maxsize=2)
def _pts(order: PacketOrder) -> NDArray[np.int64]:
    return order.pts()
