"""From a segment of video to encoded grid frames."""

from __future__ import annotations

from pipeline.video import filters, segment
from pipeline.video.black_bars import find_crop
from pipeline.video.restarts import GridSample
from pipeline.video.selective import selection_of
from pipeline.video.shapes import with_shapes
from pipeline.video.tone_mapping import color_of
from pipeline.video.views import ViewPart

__all__ = [
    "GridSample",
    "ViewPart",
    "color_of",
    "filters",
    "find_crop",
    "segment",
    "selection_of",
    "with_shapes",
]
