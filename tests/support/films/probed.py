"""A movie and its video stream as probing reports them, for tests of plans."""

from __future__ import annotations

from fractions import Fraction

from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Movie

MOVIE = Movie(movie_id="m", uri="file:///m.mp4", group="m", num_bytes=1)
VIDEO = VideoStream(
    index=0,
    codec="h264",
    width=1920,
    height=1080,
    sar=Fraction(1),
    rotation=0,
    time_base=Fraction(1, 90_000),
    avg_frame_rate="24/1",
    field_order="progressive",
    hdr="",
)
