"""Decodes one segment of a movie into grid frames: one sequential pass, never one a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.plan import MoviePlan, Segment
from pipeline.sources import Readable
from pipeline.video.restarts import LegDecoder


@dataclass(frozen=True)
class VideoSegment:
    """The N grid frames of a segment; their coded blocks travel beside it as one array of bytes.

    Arrays are (N,) int64.
    """

    number: int
    first_step: int
    """Grid step of the first frame; the others follow without holes."""
    pts_ns: NDArray[np.int64]
    """Presentation time of the source frame that is on screen at the step."""
    luma_sum: NDArray[np.int64]
    """Over the pixels of the frame."""
    luma_square_sum: NDArray[np.int64]
    change_sum: NDArray[np.int64]
    """Over the pixels: absolute change of luma from the step before; 0 where there is none."""
    cut_steps: tuple[int, ...]
    """Steps whose frames differ sharply from the one before, both undamaged."""
    damaged_steps: tuple[int, ...]
    """Steps whose frames are not to be trusted; see `GridRun.damaged_steps`."""
    scan_ends: NDArray[np.int64]
    """Where the coded blocks of each frame end in the segment's bytes."""
    jpeg_head: bytes
    """JPEG headers that all frames share; empty without a frame."""
    num_runs: int
    """Starts of ffmpeg that it took: one, but for damage and films that cannot be entered."""
    cpu_seconds: float


def decode_segment(
    plan: MoviePlan, segment: Segment, source: Readable
) -> tuple[VideoSegment, NDArray[np.uint8]]:
    """Decode a segment of an open movie.

    Returns:
        The segment and (M,) uint8: its frames' coded blocks back to back.

    Raises:
        MovieError: ffmpeg failed before the first frame, or was stopped.
    """
    decoder = LegDecoder(plan, segment, source)
    legs = decoder.decode()
    sums = [frame for leg in legs for frame in leg.sums]
    scans = [scan for leg in legs for scan in leg.scans]
    luma_sum, luma_square_sum, change_sum = np.array(sums, np.int64).reshape(-1, 3).T
    found = VideoSegment(
        number=segment.number,
        first_step=segment.first_step,
        pts_ns=np.array([pts for leg in legs for pts in leg.pts_ns], np.int64),
        luma_sum=luma_sum,
        luma_square_sum=luma_square_sum,
        change_sum=change_sum,
        cut_steps=tuple(sorted(step for leg in legs for step in leg.cuts)),
        damaged_steps=tuple(sorted(step for leg in legs for step in leg.damaged)),
        scan_ends=np.cumsum([len(scan) for scan in scans], dtype=np.int64),
        jpeg_head=next((leg.head for leg in legs if leg.head), b""),
        num_runs=decoder.num_runs,
        cpu_seconds=decoder.cpu_seconds,
    )
    return found, np.frombuffer(b"".join(scans), dtype=np.uint8)
