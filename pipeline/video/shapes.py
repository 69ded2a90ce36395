"""Finds out whether a movie's frames change their shape: size, pixel aspect or orientation.

Broadcasts change it between programs, live streams when a phone is turned. A new shape begins at a
keyframe. Unless the stream itself proves that there is one shape (`Probe.has_one_shape`), all of
them are decoded: a few percent of the movie's frames. Where nearly every frame is a keyframe, some
per minute show whether the shape changes; only if it does, all are read.
"""

from __future__ import annotations

import bisect
import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.errors import TooLargeError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffprobe_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.probe import Probe
from pipeline.probe.streams.sample_frames import Shape
from pipeline.probe.streams.video_stream import orientation, ratio
from pipeline.sources import Readable
from shards_spec.recipe import NANOSECONDS

#: Of dense keyframes, one in so many seconds is looked at, and so many at least and at most.
SAMPLE_SECONDS = 4
MIN_SAMPLES, MAX_SAMPLES = 16, 240
#: Without an index, ffmpeg ends up a little after the time of a seek: so it is repeated with a time
#: this much earlier.
EARLIER_SECONDS = 0.6
#: Packets that are read to reach one of them.
SAMPLE_PACKETS = 4
#: Keyframes that are closer than this are dense.
DENSE_SECONDS = 0.2
#: Display aspects that differ by less than this share are the same.
SAME_ASPECT = 0.01
#: What is kept in memory: the first and last frame of each shape, in order.
MAX_SHAPES = 1000
#: A description of a frame that is longer is passed over.
MAX_FRAME_BYTES = 1 << 20
#: How ffprobe indents the frames of its output.
_FRAME = b" " * 8

_ENTRIES = "frame=best_effort_timestamp,width,height,sample_aspect_ratio:frame_side_data"


def with_shapes(probe: Probe, source: Readable, what: str) -> Probe:
    """The probe with the shapes of the movie's frames, if they change.

    Frames that are turned other than the first ones count as corrupt: clips of them are dropped.
    `what` names the movie in errors.
    """
    shapes = _find_shapes(probe, source, what)
    return replace(probe, shapes=shapes, corrupt_ns=(*probe.corrupt_ns, *_turned_ns(probe, shapes)))


def _find_shapes(probe: Probe, source: Readable, what: str) -> tuple[Shape, ...]:
    """The shapes of a movie's frames in order; empty if all have the same."""
    if probe.has_one_shape:
        return ()
    is_dense = len(probe.keyframes_ns) * DENSE_SECONDS * NANOSECONDS > probe.duration_ns
    shapes = _read(probe, source, what, _intervals(probe) if is_dense else "")
    if all(_is_same(shape, shapes[0]) for shape in shapes):
        return ()
    return _merged(_read(probe, source, what, "") if is_dense else shapes)


def _turned_ns(probe: Probe, shapes: Sequence[Shape]) -> Iterator[tuple[int, int]]:
    """Ranges [start, end) in which frames are turned other than the first ones."""
    ends = [*(shape.start_ns for shape in shapes[1:]), probe.duration_ns]
    for shape, end in zip(shapes, ends, strict=False):
        if (shape.mirrored, shape.rotation) != (shapes[0].mirrored, shapes[0].rotation):
            yield shape.start_ns, end


def _intervals(probe: Probe) -> str:
    """ffprobe's read intervals: dense keyframes nearest to evenly spread times."""
    seconds = probe.duration_ns // NANOSECONDS
    count = min(max(MIN_SAMPLES, seconds // SAMPLE_SECONDS), MAX_SAMPLES)
    keys = np.array(probe.keyframes_ns, np.int64)
    places = np.searchsorted(keys, np.linspace(0, 1, count) * probe.duration_ns)
    times = keys[np.unique(np.minimum(places, len(keys) - 1))]
    exact = [(int(time) + probe.start_ns) / NANOSECONDS for time in times]
    points = [max(0.0, time - early) for time in exact for early in (EARLIER_SECONDS, 0.0)]
    return ",".join(f"{point:.6f}%+#{SAMPLE_PACKETS}" for point in points)


def _read(probe: Probe, source: Readable, what: str, intervals: str) -> list[Shape]:
    """Shapes of keyframes in the given intervals (all of them without), by time."""
    options = [word for name, value in probe.input_options for word in (f"-{name}", value)]
    # The loop filter changes what frames show, which does not matter here.
    skipped = ("-skip_frame", "nokey", "-skip_loop_filter", "all")
    stream = ("-select_streams", str(probe.video.index), *skipped)
    command = [ffprobe_path(), "-v", "level+error", *options, *stream]
    command += ["-read_intervals", intervals] if intervals else []
    command += ["-show_entries", _ENTRIES, "-of", "json", *input_arguments(source)]
    shapes: list[Shape] = []
    with FfmpegProcess(command, source, what=what) as process:
        for frame in _frames(process.lines()):
            if "best_effort_timestamp" in frame:
                _add(shapes, _shape(probe, frame), what)
        process.finish(tolerate_errors=True)
    return shapes


def _frames(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The frames in ffprobe's JSON, one at a time: a long movie has hundreds of thousands."""
    block = bytearray()
    for line in lines:
        if line.startswith(_FRAME + b"{"):
            block.clear()
        block += line
        if line.startswith(_FRAME + b"}"):
            # Not valid if the output is cut off.
            with contextlib.suppress(ValueError):
                yield json.loads(block.rstrip(b","))
            block.clear()
        elif len(block) > MAX_FRAME_BYTES:
            block.clear()


def _add(shapes: list[Shape], shape: Shape, what: str) -> None:
    """Add the shape of the next frame, by time; of equal ones in a row only the first and last
    stay.

    Times go back where recordings were joined. What is dropped of the earlier one is then missing
    between those of the later one, but only where both have frames at the same time.
    """
    at = bisect.bisect_right(shapes, shape.start_ns, key=lambda one: one.start_ns)
    shapes.insert(at, shape)
    for middle in range(max(1, at - 1), min(at + 2, len(shapes) - 1)):
        if len({replace(one, start_ns=0) for one in shapes[middle - 1 : middle + 2]}) == 1:
            del shapes[middle]
            break
    if len(shapes) > MAX_SHAPES:
        raise TooLargeError(
            f"{what}: its frames change their shape more than {MAX_SHAPES // 2} times; re-encode "
            "it with one size, or remove it from the corpus"
        )


def _shape(probe: Probe, frame: dict[str, Any]) -> Shape:
    ticks = int(frame["best_effort_timestamp"]) - probe.start_pts
    mirrored, rotation = orientation(frame) or (False, 0)
    return Shape(
        start_ns=round(ticks * probe.video.time_base * NANOSECONDS),
        width=int(frame["width"]),
        height=int(frame["height"]),
        sar=ratio(str(frame.get("sample_aspect_ratio", ""))),
        mirrored=mirrored,
        rotation=rotation,
    )


def _is_same(one: Shape, other: Shape) -> bool:
    turned = (one.mirrored, one.rotation) != (other.mirrored, other.rotation)
    return not turned and abs(one.aspect / other.aspect - 1) < Fraction(SAME_ASPECT)


def _merged(shapes: list[Shape]) -> tuple[Shape, ...]:
    """Only those that differ in any way from the one before."""
    changed = [b for a, b in pairwise(shapes) if replace(a, start_ns=b.start_ns) != b]
    return (*shapes[:1], *changed)
