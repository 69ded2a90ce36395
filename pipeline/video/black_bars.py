"""Finds black bars, once per movie, from frames spread over all of it.

A row or column belongs to the active picture if in some frames a good part of it is lit without
interruption, or most of it is brighter than black. A dark scene therefore never crops a movie, and
one that changes its aspect keeps its largest active picture; the letters of a subtitle, a logo, or
noise in a bar are lit in pieces that are too short. A bar must end at a straight edge: where the
image fades into black (a globe in space, titles on black) nothing is cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.probe import Probe
from pipeline.probe.streams.video_stream import Crop
from pipeline.sources import Readable
from pipeline.video.filters import fitted, framed, input_options, upright
from shards_spec.recipe import NANOSECONDS

#: Number of sampled frames.
NUM_SAMPLES = 32
#: A pixel brighter than this (0..255) is lit.
LIT_LUMA = 28
#: A line is black if the median of its pixels is at most this; black itself is 0.
BLACK_LUMA = 16
#: Lit pixels count in runs of at least this share of the line: strokes of letters do not.
MIN_RUN = 1 / 32
#: A line is active if this share of it is lit, in this share of the frames (at least one).
MIN_LIT = 0.15
MIN_FRAMES = 0.06
#: A side is a straight edge if, within this distance (share of the side, at least two lines), the
#: share of a line that is ever lit grows by `MIN_EDGE`.
EDGE_DISTANCE = 0.007
MIN_EDGE = 0.35
#: Left and right bars differ by at most this share of the width; top and bottom bars may differ.
MAX_ASYMMETRY = 0.05
#: Fewer rows or columns than this share of the side are an edge, not a bar; and as few lit lines
#: between dark ones are an artifact, such as encoded captions on the first line.
MIN_BAR = 0.015
#: After so many frames without a bar, further ones are skipped if they cannot change that.
MIN_LOOKS = 3
#: If so many keyframes could not be decoded by themselves, no others are tried in that way.
MAX_REFUSED = 2

#: ffmpeg seeks 3/23 s earlier where frames are reordered.
_SEEK_SLACK_NS = 3 * NANOSECONDS // 23
#: How much is read from a keyframe on, by decoding time: its second field may be a packet.
_READ_SECONDS = 0.001
#: Containers in which both ways of seeking end up at the same keyframe; elsewhere ffmpeg searches.
_INDEXED = ("matroska", "mov")
#: Frames after a keyframe that lack references from before it, as classes for `skip_frame`.
_LEADING = {"hevc": "nokey"}
#: ffmpeg's times on the command line are microseconds.
_LEAST_TICK = Fraction(1, 1_000_000)


def find_crop(probe: Probe, source: Readable, what: str) -> Crop | None:
    """The area inside the black bars, or None when there are none."""
    looks = _Looks(probe.video.upright_size)
    times = _spread(_sample_times(probe))
    num_refused = 0
    for number, time_ns in enumerate(times, 1):
        frame = None
        if num_refused < MAX_REFUSED:
            frame = _keyframe_alone(probe, source, what, time_ns)
            num_refused += frame is None
        if frame is None:
            # Something was reported: then what the decoder saw before may matter.
            frame = _gray_frame(probe, source, what, time_ns)
        if frame is not None:
            looks.add(frame)
        if number >= MIN_LOOKS and looks.show_all(_least(len(times))):
            return None
    return looks.crop()


class _Looks:
    """What the sampled frames show: in how many of them each row and column is active."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Of upright frames of `size` (width, height)."""
        width, height = size
        self._count = 0
        self._rows = np.zeros(height, np.int64)
        self._columns = np.zeros(width, np.int64)
        self._num_lit = np.zeros((height, width), np.uint8)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Take in an upright (H, W) luma frame."""
        self._count += 1
        self._rows += active_rows(frame)
        self._columns += active_rows(frame.T)
        self._num_lit += frame > LIT_LUMA

    def show_all(self, least: int) -> bool:
        """Whether the whole frame is active, no matter what further frames show.

        Active lines only become more, and `least` frames are the most that may be needed.
        """
        return all(_is_whole(lines >= least) for lines in (self._rows, self._columns))

    def crop(self) -> Crop | None:
        """The area inside the black bars of all frames, or None when there are none."""
        if not self._count:
            return None
        least = _least(self._count)
        crop = crop_from_lit(self._rows >= least, self._columns >= least)
        return crop and straight_sides(crop, self._num_lit >= least)


def _least(num_frames: int) -> int:
    """In how many of the frames a line must be active."""
    return max(1, round(MIN_FRAMES * num_frames))


def active_rows(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) luma -> (H,) whether each row shows more than black, letters, marks or noise."""
    lit = np.ascontiguousarray(luma > LIT_LUMA, dtype=np.uint8)
    run = np.ones((1, max(2, round(MIN_RUN * luma.shape[1]))), np.uint8)
    shares = cv2.morphologyEx(lit, cv2.MORPH_OPEN, run).mean(axis=1)
    active: NDArray[np.bool_] = (shares >= MIN_LIT) | _are_above_black(luma)
    return active


def _are_above_black(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H,) whether the median of each row is brighter than black; counted, which is faster."""
    twice = 2 * np.count_nonzero(luma > BLACK_LUMA, axis=1)
    above: NDArray[np.bool_] = twice > luma.shape[1]
    # The median is then between two pixels, one on each side.
    is_even = twice == luma.shape[1]
    above[is_even] = np.median(luma[is_even], axis=1) > BLACK_LUMA
    return above


def straight_sides(crop: Crop, lit: NDArray[np.bool_]) -> Crop | None:
    """The crop without the sides that are not a straight edge in (H, W) `lit`; None without any."""
    height, width = lit.shape
    left, top = crop.x, crop.y
    right, bottom = left + crop.width, top + crop.height
    rows, columns = lit[:, left:right].mean(axis=1), lit[top:bottom].mean(axis=0)
    top = top if _is_edge(rows, top) else 0
    bottom = bottom if _is_edge(rows[::-1], height - bottom) else height
    left = left if _is_edge(columns, left) else 0
    right = right if _is_edge(columns[::-1], width - right) else width
    if abs(left - (width - right)) > MAX_ASYMMETRY * width:
        left, right = 0, width
    if (left, top, right, bottom) == (0, 0, width, height):
        return None
    return Crop(_even(right - left), _even(bottom - top), left, top)


def _is_edge(shares: NDArray[np.float64], first: int) -> bool:
    """Whether the lit shares of lines jump at line `first`, the first active one."""
    distance = max(2, round(EDGE_DISTANCE * len(shares)))
    outside, inside = shares[max(0, first - distance)], shares[first + distance - 1]
    return bool(inside - outside >= MIN_EDGE)


def crop_from_lit(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> Crop | None:
    """Lit rows (H,) and columns (W,) of the upright frame -> active picture; None for all of it."""
    top, bottom = _active_range(rows)
    left, right = _active_range(columns)
    whole = (top, bottom, left, right) == (0, len(rows), 0, len(columns))
    return None if whole else Crop(right - left, bottom - top, left, top)


def _sample_times(probe: Probe) -> Sequence[int]:
    """Keyframes nearest to evenly spread times, without the first and last 2 % of a movie."""
    times = np.linspace(0.02, 0.98, NUM_SAMPLES) * probe.duration_ns
    keys = np.array(probe.keyframes_ns, dtype=np.int64)
    if len(keys) == 0:
        return [int(time) for time in times]
    nearest = keys[np.abs(keys[None, :] - times[:, None]).argmin(axis=1)]
    return [int(key) for key in np.unique(nearest)]


def _spread(times: Sequence[int]) -> list[int]:
    """The same times, so ordered that the first few are from all over the movie."""
    rest, ordered = list(times), []
    for step in (8, 4, 2, 1):
        ordered += rest[step // 2 :: step]
        del rest[step // 2 :: step]
    return ordered + rest


def _keyframe_alone(
    probe: Probe, source: Readable, what: str, time_ns: int
) -> NDArray[np.uint8] | None:
    """The frame of a keyframe at which a run of the decoder begins; None unless that is certain."""
    has_index = probe.container.startswith(_INDEXED)
    if not has_index or time_ns not in probe.keyframes_ns or probe.video.time_base < _LEAST_TICK:
        return None
    # Where a demuxer is searched by decoding times, ffmpeg seeks this much earlier.
    later = [key - time_ns for key in probe.keyframes_ns if key > time_ns]
    slack_ns = min(_SEEK_SLACK_NS, min(later, default=NANOSECONDS) // 2)
    seconds = (time_ns + probe.start_ns + slack_ns) / NANOSECONDS
    options = {
        **{"seek_timestamp": 1, "noaccurate_seek": None, "copyts": None, "threads": 1},
        **{
            "skip_frame": _LEADING.get(probe.video.codec, "bidir"),
            "ss": f"{seconds:.6f}",
            "t": _READ_SECONDS,
        },
    }
    pts = round(Fraction(time_ns, NANOSECONDS) / probe.video.time_base) + probe.start_pts
    stream = input_stream(source, **input_options(probe), **options)[str(probe.video.index)]
    stream = stream.filter("select", f"eq(pts,{pts})")
    return _first_frame(stream, probe, source, what, time_ns, "warning")


def _gray_frame(
    probe: Probe, source: Readable, what: str, time_ns: int
) -> NDArray[np.uint8] | None:
    """The frame at a keyframe, decoded as ffmpeg does by itself; None if it cannot be."""
    seconds = (time_ns + probe.start_ns) / NANOSECONDS
    options = {"seek_timestamp": 1, "threads": 1, "ss": f"{seconds:.6f}"}
    stream = input_stream(source, **input_options(probe), **options)[str(probe.video.index)]
    return _first_frame(stream, probe, source, what, time_ns, "info")


def _first_frame(
    stream: Any,
    probe: Probe,
    source: Readable,
    what: str,
    time_ns: int,
    level: Literal["warning", "info"],
) -> NDArray[np.uint8] | None:
    """The first frame of a stream as upright (H, W) luma; None after any warning if these matter.

    Raises `MovieError` if ffmpeg lacked memory, was killed, or was stopped.
    """
    width, height = probe.video.upright_size
    graph = upright(framed(fitted(stream, probe, time_ns), probe), probe.video)
    graph = graph.filter("format", "gray")
    output = ffmpeg.output(graph, "pipe:1", format="rawvideo", vframes=1)
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel")
    command = ffmpeg.compile(output.global_args(f"level+{level}"), cmd=ffmpeg_path())
    with FfmpegProcess(command, source, what=what) as run:
        data = run.read_exactly(width * height)
        if data is None:
            # Not a verdict about the movie if memory was lacking, which is known at the end.
            run.wait()
        if level == "warning" and data is not None:
            run.finish(tolerate_errors=True)
            data = None if run.returncode or run.has_messages else data
    return None if data is None else np.frombuffer(data, dtype=np.uint8).reshape(height, width)


def _is_whole(lit: NDArray[np.bool_]) -> bool:
    """Whether lit lines leave no bar, and further lit ones could not either."""
    runs = _long_runs(lit)
    if not runs or runs[-1][1] - runs[0][0] < len(lit) / 4:
        return False
    return _active_range(lit) == (0, len(lit))


def _active_range(lit: NDArray[np.bool_]) -> tuple[int, int]:
    """[first, last + 1) of the lit lines, moved inwards to even numbers; all without a bar.

    Nothing lit at all (a movie of black frames) keeps the whole frame, and so do lit lines that
    are less than a quarter of the side: that is a dark movie, not one with bars.
    """
    size = len(lit)
    runs = _long_runs(lit)
    if not runs or runs[-1][1] - runs[0][0] < size / 4:
        return 0, size
    first, last = runs[0][0], runs[-1][1]
    first = 0 if first < MIN_BAR * size else first + first % 2
    last = size if size - last < MIN_BAR * size else last - last % 2
    if first == 0 and last == size:
        return 0, size
    return first, last - (last - first) % 2


def _long_runs(lit: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, last + 1) of the runs of lit lines that are not artifacts."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lit, [False]]).astype(np.int8)))
    least = MIN_BAR * len(lit)
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= least]


def _even(size: int) -> int:
    return size - size % 2
