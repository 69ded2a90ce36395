"""From a segment of video to encoded grid frames."""

from __future__ import annotations

from pipeline.video.black_bars import find_crop
from pipeline.video.filters import applied, frame_size, to_rgb, upright
from pipeline.video.restarts import GridSample
from pipeline.video.segment import (
    Decoded,
    VideoSegment,
    decode_segment,
    decode_views,
    sample_span,
    segments_to_repeat,
)
from pipeline.video.selective import selection_of
from pipeline.video.shapes import with_shapes
from pipeline.video.tone_mapping import color_of
from pipeline.video.views import ViewPart

__all__ = [
    "Decoded",
    "GridSample",
    "VideoSegment",
    "ViewPart",
    "applied",
    "color_of",
    "decode_segment",
    "decode_views",
    "find_crop",
    "frame_size",
    "sample_span",
    "segments_to_repeat",
    "selection_of",
    "to_rgb",
    "upright",
    "with_shapes",
]
