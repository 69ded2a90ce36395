"""From a segment of video to encoded grid frames."""

from __future__ import annotations

from pipeline.video.black_bars import find_crop
from pipeline.video.filters import applied, frame_size, to_rgb, upright
from pipeline.video.restarts import GridSample
from pipeline.video.segment import (
    VideoSegment,
    decode_segment,
    sample_span,
    segments_to_repeat,
)
from pipeline.video.selective import selection_of
from pipeline.video.shapes import with_shapes
from pipeline.video.tone_mapping import color_of

__all__ = [
    "GridSample",
    "VideoSegment",
    "applied",
    "color_of",
    "decode_segment",
    "find_crop",
    "frame_size",
    "sample_span",
    "segments_to_repeat",
    "selection_of",
    "to_rgb",
    "upright",
    "with_shapes",
]
