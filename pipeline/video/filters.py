"""The filter graph from decoded frames, as coded, to upright square pixels without black bars.

Everything is explicit (deinterlacing, orientation, crop, matrix, range), nothing is left to the
defaults of an ffmpeg build, and `applied` describes it for the index.

    decoded frame -> nominal size, or height if it has another shape -> progressive frame
    -> grid frame -> nominal width -> container's crop -> upright -> black bars cropped
    -> RGB of the stored size, 8 bits, or 16 where `ToneMap` follows
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

from pipeline.errors import DecodeError
from pipeline.probe import Probe
from pipeline.probe.streams.sample_frames import Shape
from pipeline.probe.streams.video_stream import Crop, VideoStream
from pipeline.video.tone_mapping import color_of
from shards_spec.recipe import MAX_JPEG_BLOCKS, MAX_JPEG_SIDE, NANOSECONDS, Recipe

#: The `select` filter's name for the time of the frame before; NaN for the first one.
_PREVIOUS = "prev_selected_pts"
#: Pixel formats that ffmpeg's `pad` fills without converting them first, in frames of even sizes.
_PADDED = re.compile(r"(yuv|yuva|yuvj)4(20|22|40|44)p(\d\d?le)?$|gray$|nv12$|gbrp(\d\d?le)?$")
#: Pixel formats of which RGB in planes equals RGB in triples; see `_has_fast_planes`.
_YUV = re.compile(r"yuvj?4(20|22|44)p(10le)?$")
#: Display aspects that differ by less than this share are the same: rounded pixel aspects.
_SAME_SHAPE = 0.01
#: Shapes that the index names.
_MAX_DESCRIBED = 6
#: Filters that rotate a coded frame, by degrees clockwise.
_ROTATIONS = {0: (), 90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}


def frame_size(video: VideoStream, crop: Crop | None, recipe: Recipe) -> tuple[int, int]:
    """(height, width) of a stored frame: the recipe's short side, aspect kept, height 16 x n.

    Raises `DecodeError` for a frame so narrow that the film strip would exceed a JPEG.
    """
    width, height = (crop.width, crop.height) if crop else video.upright_size
    aspect = Fraction(width, height) * video.upright_sar
    short = recipe.short_side
    if aspect >= 1:
        size = (short, _multiple(short * aspect, 2))
    else:
        size = (_multiple(short / aspect, 16), short)
    too_tall = size[0] * recipe.num_frames > MAX_JPEG_SIDE or size[1] > MAX_JPEG_SIDE
    if too_tall or size[0] // 16 * -(-size[1] // 16) > MAX_JPEG_BLOCKS:
        raise DecodeError(
            f"a frame of aspect {float(aspect):.3f} does not fit into a film strip: "
            f"{recipe.num_frames} frames of {size[1]}x{size[0]}"
        )
    return size


def without_outliers(stream: Any, probe: Probe) -> Any:
    """Filter graph that drops frames with wrong timestamps; times are those of the container."""
    if not probe.outliers:
        return stream
    wrong = [
        f"eq(pts,{outlier.pts})*lt(abs({_PREVIOUS}-{outlier.expected_pts}),{outlier.reach})"
        for outlier in probe.outliers
    ]
    # The first frame of a run has none before it; only the movie's own first one can be wrong.
    start = probe.start_pts
    wrong += [
        f"eq(pts,{outlier.pts})*isnan({_PREVIOUS})"
        for outlier in probe.outliers
        if abs(outlier.expected_pts - start) < min(outlier.reach, abs(outlier.pts - start))
    ]
    return stream.filter("select", f"not({'+'.join(wrong)})")


def input_options(probe: Probe) -> dict[str, Any]:
    """Options with which ffmpeg leaves orientation and the container's crop to the filter graph."""
    options: dict[str, Any] = {**dict(probe.input_options), "noautorotate": None}
    if probe.video.container_crop is not None:
        options["apply_cropping"] = "codec"
    return options


def fitted(stream: Any, probe: Probe, at_ns: int | None = None) -> Any:
    """Filter graph from decoded frames of any size and shape to the nominal size.

    Frames of another shape are not distorted: see `framed`. ffmpeg itself gives every frame the
    pixel aspect of the stream's header, so that of a frame is taken from `Probe.shapes`. Timestamps
    are on the movie timeline, or `at_ns` is the time of the only frame.
    """
    width, height = probe.video.width, probe.video.height
    if not _may_differ(probe):
        return stream.filter("scale", width, height)
    nominal = Fraction(width, height) * probe.video.sar
    # Display aspect of the frame divided by that of the nominal size.
    ratio = f"(iw*({_sar_at(probe, at_ns)})/ih/{float(nominal):.9f})"
    own_width = f"min({_widest(probe)},2*max(1,round({width}*{ratio}/2)))"
    is_same = f"between({ratio},{1 - _SAME_SHAPE},{1 + _SAME_SHAPE})"
    return stream.filter("scale", f"if({is_same},{width},{own_width})", height, eval="frame")


def framed(stream: Any, probe: Probe) -> Any:
    """Filter graph that gives `fitted` frames the nominal width.

    All keep their full height. Narrower ones get bars at the sides, wider ones lose their sides.
    """
    video = probe.video
    if not _may_differ(probe):
        # `pad` copies every frame, also those that it leaves as they are.
        return stream
    width, center = _widest(probe), ("(ow-iw)/2", "(oh-ih)/2")
    stream = stream.filter("pad", width, video.height, *center, eval="frame")
    if width == video.width:
        return stream
    return stream.filter("crop", video.width, video.height, "(iw-ow)/2", 0)


def _widest(probe: Probe) -> int:
    """Width of the widest frame at the nominal height, coded pixels."""
    video = probe.video
    nominal = Fraction(video.width, video.height) * video.sar
    widest = max((shape.aspect for shape in probe.shapes), default=nominal)
    return max(video.width, 2 * ceil(video.width * widest / nominal / 2))


def _may_differ(probe: Probe) -> bool:
    """Whether there may be frames of other shapes, and `pad` keeps those of the nominal size.

    It rounds odd sizes down.
    """
    video = probe.video
    is_even = video.width % 2 == 0 and video.height % 2 == 0
    return not probe.has_one_shape and is_even and _PADDED.match(video.pixel_format) is not None


def _sar_at(probe: Probe, at_ns: int | None) -> str:
    """Expression of the time `t`, or constant for one time: width of a pixel over its height."""
    shapes = probe.shapes
    if not shapes:
        return f"{float(probe.video.sar):.9f}"
    if at_ns is not None:
        index = bisect.bisect_right([shape.start_ns for shape in shapes], at_ns)
        return f"{float(shapes[max(0, index - 1)].sar):.9f}"
    terms = [f"{float(shapes[0].sar):.9f}"]
    for before, shape in pairwise(shapes):
        if shape.sar != before.sar:
            # Half a millisecond earlier: times are rounded.
            time = shape.start_ns / NANOSECONDS - 0.0005
            terms.append(f"gte(t,{time:.4f})*({float(shape.sar - before.sar):.9f})")
    return "+".join(terms)


def progressive(stream: Any, probe: Probe) -> Any:
    """Filter graph from `fitted` frames to progressive frames, times unchanged.

    For interlaced frames, `fieldmatch` rejoins the two fields of one progressive frame (3:2
    pulldown, or progressive frames stored as fields). What is still combed was shot interlaced:
    `bwdif` keeps its earlier field and interpolates the other. Repeated frames stay: the clip grid
    picks frames by time.
    """
    video = probe.video
    if not video.is_interlaced:
        return stream
    stream = framed(stream, probe)
    if video.has_unmarked_fields:
        stream = stream.filter("setfield", "tff" if video.top_field_first else "bff")
    stream = stream.filter("fieldmatch", combmatch="full")
    return stream.filter("bwdif", mode="send_frame", deint="interlaced")


def upright(stream: Any, video: VideoStream) -> Any:
    """Filter graph that applies the container's crop, then the display matrix.

    To the nearest quarter turn.
    """
    if video.container_crop is not None:
        area = video.container_crop
        stream = stream.filter("crop", area.width, area.height, area.x, area.y)
    if video.mirrored:
        stream = stream.filter("hflip")
    for rotation in _ROTATIONS[video.rotation]:
        name, _, value = rotation.partition("=")
        stream = stream.filter(name, *([value] if value else []))
    return stream


def normalized(stream: Any, probe: Probe, crop: Crop | None, size: tuple[int, int]) -> Any:
    """Filter graph from progressive coded frames to RGB frames of `size` (height, width)."""
    if not probe.video.is_interlaced:
        # Only now: these are the few frames on the grid.
        stream = framed(stream, probe)
    stream = upright(stream, probe.video)
    if crop is not None:
        stream = stream.filter("crop", crop.width, crop.height, crop.x, crop.y)
    return to_rgb(stream, probe.video, size)


def to_rgb(stream: Any, video: VideoStream, size: tuple[int, int]) -> Any:
    """Filter graph from upright frames to RGB frames of `size` (height, width)."""
    color = color_of(video)
    if color.matrix:
        value_range = "full" if color.full_range else "limited"
        stream = stream.filter("setparams", colorspace=color.matrix, range=value_range)
    height, width = size
    flags = "bicubic+accurate_rnd+full_chroma_int+bitexact"
    stream = stream.filter("scale", width, height, flags=flags)
    if _has_fast_planes(video, height) and not color.needs_mapping:
        stream = stream.filter("format", "gbrp")
    return stream.filter("setsar", 1).filter("format", pixel_format(video))


def _has_fast_planes(video: VideoStream, height: int) -> bool:
    """Whether RGB is made faster in planes, which are interleaved afterwards, with equal bytes.

    ffmpeg has vector instructions for planes only. Both round alike where several lines are
    combined into each one, so not at (almost) the full height.
    """
    return _YUV.match(video.pixel_format) is not None and min(video.upright_size) > 2 * height


def pixel_format(video: VideoStream) -> str:
    """ffmpeg's name for the output of `normalized`: 16 bits where a tone map follows."""
    return "rgb48le" if color_of(video).needs_mapping else "rgb24"


def applied(probe: Probe, crop: Crop | None) -> str:
    """What is done to the frames, in order, as text for the index."""
    video = probe.video
    steps = []
    if video.is_interlaced:
        order = "tff" if video.top_field_first else "bff"
        steps.append(f"fieldmatch+bwdif {order}{' forced' if video.has_unmarked_fields else ''}")
    if probe.shapes:
        steps.append(f"same height, center: {_described(probe.shapes)}")
    if video.container_crop is not None:
        steps.append(f"container crop {video.container_crop}")
    if video.mirrored:
        steps.append("hflip")
    if video.rotation:
        steps.append(f"rotate {video.rotation}")
    if crop is not None:
        steps.append(f"crop {crop}")
    if video.sar != 1:
        steps.append(f"square pixels from {video.sar.numerator}:{video.sar.denominator}")
    return "; ".join([*steps, str(color_of(video))])


def _described(shapes: Sequence[Shape]) -> str:
    """Shapes and when they begin, at most the first few."""
    words = [
        f"{shape.width}x{shape.height} {shape.sar.numerator}:{shape.sar.denominator} "
        f"{'turned, left out, ' if _is_turned(shape, shapes[0]) else ''}"
        f"from {shape.start_ns / NANOSECONDS:.2f} s"
        for shape in shapes[:_MAX_DESCRIBED]
    ]
    more = len(shapes) - len(words)
    return ", ".join([*words, f"and {more} more"] if more else words)


def _is_turned(shape: Shape, first: Shape) -> bool:
    return (shape.mirrored, shape.rotation) != (first.mirrored, first.rotation)


def _multiple(value: Fraction, step: int) -> int:
    return max(step, round(value / step) * step)
