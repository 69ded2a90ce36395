"""The picture's geometry: which part of a frame is picture, and how large a stored frame is.

Black bars are found once per movie from frames spread over all of it: a row or column is picture
when any of them shows something in it. A dark scene therefore never crops the movie, and a movie
that changes its aspect keeps its largest picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DecodeError
from pipeline.probe import Probe
from pipeline.process import DEMUXERS, Run, input_url
from pipeline.streams import VideoStream
from pipeline.tools import ffmpeg_path
from shards_spec.recipe import MAX_JPEG_SIDE, NANOSECONDS, Recipe

#: Frames that are looked at for bars.
BAR_SAMPLES = 20
#: A row or column is lit when more than 2 % of its pixels are brighter than this (0..255).
BAR_LUMA = 28
#: Fewer rows or columns than this share of the side are an edge, not a bar.
MIN_BAR = 0.015

_SAMPLE_SECONDS = 60.0


@dataclass(frozen=True)
class Crop:
    """The picture area of the upright coded frame, pixels; even numbers."""

    width: int
    height: int
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.width}:{self.height}:{self.x}:{self.y}"


def input_stream(path: str, **options: Any) -> Any:
    """An ffmpeg-python input with the whitelists that every input gets."""
    return ffmpeg.input(
        input_url(path), protocol_whitelist="file,pipe", format_whitelist=DEMUXERS, **options
    )


def find_crop(probe: Probe, path: str, what: str) -> Crop | None:
    """The area inside the black bars, or None when there are none."""
    width, height = probe.video.upright_size
    rows, columns = np.zeros(height, dtype=bool), np.zeros(width, dtype=bool)
    for time_ns in _sample_times(probe):
        frame = _gray_frame(probe, path, what, time_ns)
        if frame is not None:
            rows |= _lit(frame)
            columns |= _lit(frame.T)
    return crop_from_lit(rows, columns)


def crop_from_lit(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> Crop | None:
    """Lit rows (H,) and columns (W,) of the upright frame -> the picture, or None for all of it."""
    top, bottom = _picture_range(rows)
    left, right = _picture_range(columns)
    whole = (top, bottom, left, right) == (0, len(rows), 0, len(columns))
    return None if whole else Crop(right - left, bottom - top, left, top)


def frame_size(video: VideoStream, crop: Crop | None, recipe: Recipe) -> tuple[int, int]:
    """(height, width) of a stored frame: short side as wished, aspect kept, height 16 x n.

    Raises `DecodeError` for a picture so narrow that the film strip would exceed a JPEG.
    """
    width, height = (crop.width, crop.height) if crop else video.upright_size
    aspect = Fraction(width, height) * video.upright_sar
    short = recipe.short_side
    if aspect >= 1:
        size = (short, _multiple(short * aspect, 2))
    else:
        size = (_multiple(short / aspect, 16), short)
    if size[0] * recipe.num_frames > MAX_JPEG_SIDE or size[1] > MAX_JPEG_SIDE:
        raise DecodeError(
            f"a picture of aspect {float(aspect):.3f} does not fit in a film strip: "
            f"{recipe.num_frames} frames of {size[1]}x{size[0]}"
        )
    return size


def normalised(stream: Any, probe: Probe, crop: Crop | None, size: tuple[int, int]) -> Any:
    """Filter graph from an upright decoded stream to RGB frames of `size` (height, width)."""
    if crop is not None:
        stream = stream.filter("crop", crop.width, crop.height, crop.x, crop.y)
    height, width = size
    flags = "bicubic+accurate_rnd+full_chroma_int+bitexact"
    return stream.filter("scale", width, height, flags=flags).filter("setsar", 1)


def _multiple(value: Fraction, step: int) -> int:
    return max(step, round(value / step) * step)


def _sample_times(probe: Probe) -> Sequence[int]:
    """Keyframes nearest to evenly spread times; the first and last 2 % of a movie are left out."""
    wanted = np.linspace(0.02, 0.98, BAR_SAMPLES) * probe.duration_ns
    keys = np.array(probe.keyframes_ns, dtype=np.int64)
    if len(keys) == 0:
        return [0]
    nearest = keys[np.abs(keys[None, :] - wanted[:, None]).argmin(axis=1)]
    return [int(key) for key in np.unique(nearest)]


def _gray_frame(probe: Probe, path: str, what: str, time_ns: int) -> NDArray[np.uint8] | None:
    """The upright luma of the frame at a keyframe, or None when it cannot be decoded."""
    width, height = probe.video.upright_size
    seconds = (time_ns + probe.start_ns) / NANOSECONDS
    stream = input_stream(path, seek_timestamp=1, ss=f"{seconds:.6f}", threads=1)
    graph = stream[str(probe.video.index)].filter("format", "gray")
    output = ffmpeg.output(graph, "pipe:1", format="rawvideo", vframes=1).global_args("-nostdin")
    command = ffmpeg.compile(output, cmd=ffmpeg_path())
    with Run(command, what=what, wall_seconds=_SAMPLE_SECONDS) as run:
        data = run.read_exactly(width * height)
    return None if data is None else np.frombuffer(data, dtype=np.uint8).reshape(height, width)


def _lit(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    lit: NDArray[np.bool_] = (frame > BAR_LUMA).mean(axis=1) > 0.02
    return lit


def _picture_range(lit: NDArray[np.bool_]) -> tuple[int, int]:
    """[first, last + 1) of the lit lines, moved inwards to even numbers; all when there is no bar.

    Nothing lit at all (a movie of black frames) keeps the whole picture, and so do lit lines that
    are less than a quarter of the side: that is a dark movie, not a picture between bars.
    """
    size = len(lit)
    places = np.flatnonzero(lit)
    if len(places) == 0 or (places[-1] + 1 - places[0]) < size / 4:
        return 0, size
    first, last = int(places[0]), int(places[-1]) + 1
    first = 0 if first < MIN_BAR * size else first + first % 2
    last = size if size - last < MIN_BAR * size else last - last % 2
    if first == 0 and last == size:
        return 0, size
    return first, last - (last - first) % 2
