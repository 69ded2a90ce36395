"""Finds the frames of a movie that a decoder may miss while it shows the others as before.

To some no other frame refers: the disposable ones. To the last ones before an IDR frame only each
other's refer, so they may all be left out together.

Only in files whose structure is beyond doubt: MP4, MOV and Matroska with progressive H.264, HEVC or
MPEG-1, 2 or 4 (part 2), one decoder configuration, unique presentation times, and no packet that is
unlike what the file says about it. In any other there are none, and movies with a damaged structure
are decoded whole.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.disposable.examiners import MPEG, has_safe_sequence
from pipeline.probe.disposable.reordering import is_usual_order
from pipeline.probe.disposable.stream_units import StreamUnits
from pipeline.probe.streams.packets import PacketOrder, PacketTable
from pipeline.probe.streams.video_stream import VideoStream

#: With fewer frames there is nothing to gain.
MIN_FRAMES = 2
_DISPOSABLE, _PLAIN, _RESET = 1, 2, 4


@dataclass(frozen=True)
class DisposableFrames:
    """What is known about references between the N frames of a movie, in file order."""

    flags: bytes
    """(N,) uint8, compressed; none if no frame may be missing."""

    @staticmethod
    def of(
        is_disposable: NDArray[np.bool_], is_plain: NDArray[np.bool_], is_reset: NDArray[np.bool_]
    ) -> DisposableFrames:
        """From (N,) arrays; see the methods of the same names."""
        flags = _DISPOSABLE * is_disposable + _PLAIN * is_plain + _RESET * is_reset
        return DisposableFrames(zlib.compress(flags.astype(np.uint8).tobytes()))

    def is_disposable(self) -> NDArray[np.bool_]:
        """(N,) to which frames no other refers."""
        return self._bits(_DISPOSABLE)

    def is_plain(self) -> NDArray[np.bool_]:
        """(N,) which packets hold nothing but their frame that later ones could need."""
        return self._bits(_PLAIN)

    def is_reset(self) -> NDArray[np.bool_]:
        """(N,) which are IDR frames: no frame from there on refers to an earlier one."""
        return self._bits(_RESET)

    def _bits(self, bit: int) -> NDArray[np.bool_]:
        return np.frombuffer(zlib.decompress(self.flags), np.uint8) & bit > 0


_NONE = np.empty(0, np.bool_)
NONE_DISPOSABLE = DisposableFrames.of(_NONE, _NONE, _NONE)


def find_disposable(
    video: VideoStream, packets: PacketTable, order: PacketOrder, units: StreamUnits | None
) -> DisposableFrames:
    """What is known about references between frames; nothing if there is any doubt.

    `packets` are all that are presented, `order` those of a sequential read, `units` what they
    contain.
    """
    if units is None or units.kept is None or not _is_usual(video, packets, order):
        return NONE_DISPOSABLE
    if video.codec in MPEG and not is_usual_order(packets.pts, units.layers > 0):
        return NONE_DISPOSABLE
    top = units.layers.max()
    is_disposable = units.is_unreferenced & (units.layers == top) & ~packets.is_key
    is_safe = has_safe_sequence(video.codec, units.kept, units.configuration)
    if not is_disposable.any() or not is_safe:
        return NONE_DISPOSABLE
    return DisposableFrames.of(is_disposable, units.is_plain, units.is_reset & packets.is_key)


def _is_usual(video: VideoStream, packets: PacketTable, order: PacketOrder) -> bool:
    times = order.pts()
    is_timed = bool(packets.has_pts.all() and not packets.is_corrupt.any())
    return (
        not video.is_interlaced
        and not video.has_unmarked_fields
        and len(packets) >= MIN_FRAMES
        and is_timed
        and np.array_equal(times, packets.pts)
        and len(np.unique(times)) == len(times)
    )
