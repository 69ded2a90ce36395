"""The filter graph from decoded frames, as coded, to upright square pixels without black bars.

Everything is explicit (deinterlacing, orientation, crop, matrix, range), nothing is left to the
defaults of an ffmpeg build, and `applied` describes it for the index.

    coded frame -> nominal size -> progressive frame -> grid frame -> upright -> cropped
    -> RGB of the stored size, 8 bits, or 16 where `ToneMap` follows
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pipeline.errors import DecodeError
from pipeline.probe import Crop, Probe, VideoStream
from pipeline.video.tone_mapping import color_of
from shards_spec.recipe import MAX_JPEG_BLOCKS, MAX_JPEG_SIDE, Recipe

#: The `select` filter's name for the time of the frame before; NaN for the first one.
_PREVIOUS = "prev_selected_pts"
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
        f"eq(pts,{found.pts})*lt(abs({_PREVIOUS}-{found.expected_pts}),{found.reach})"
        for found in probe.outliers
    ]
    # The first frame of a run has none before it; only the movie's own first one can be wrong.
    start = probe.start_pts
    wrong += [
        f"eq(pts,{found.pts})*isnan({_PREVIOUS})"
        for found in probe.outliers
        if abs(found.expected_pts - start) < min(found.reach, abs(found.pts - start))
    ]
    return stream.filter("select", f"not({'+'.join(wrong)})")


def progressive(stream: Any, probe: Probe) -> Any:
    """Filter graph from coded frames to progressive frames of the nominal size, times unchanged.

    A stream that changes its size keeps the size that it began with. For interlaced frames,
    `fieldmatch` rejoins the two fields of one progressive frame (3:2 pulldown, or progressive
    frames stored as fields). What is still combed was shot interlaced: `bwdif` keeps its earlier
    field and interpolates the other. Repeated frames stay: the clip grid picks frames by time.
    """
    video = probe.video
    stream = stream.filter("scale", video.width, video.height)
    if not video.is_interlaced:
        return stream
    if video.has_unmarked_fields:
        stream = stream.filter("setfield", "tff" if video.top_field_first else "bff")
    stream = stream.filter("fieldmatch", combmatch="full")
    return stream.filter("bwdif", mode="send_frame", deint="interlaced")


def upright(stream: Any, video: VideoStream) -> Any:
    """Filter graph that applies the display matrix, to the nearest quarter turn."""
    if video.mirrored:
        stream = stream.filter("hflip")
    for rotation in _ROTATIONS[video.rotation]:
        name, _, value = rotation.partition("=")
        stream = stream.filter(name, *([value] if value else []))
    return stream


def normalized(stream: Any, probe: Probe, crop: Crop | None, size: tuple[int, int]) -> Any:
    """Filter graph from progressive coded frames to RGB frames of `size` (height, width)."""
    stream = upright(stream, probe.video)
    if crop is not None:
        stream = stream.filter("crop", crop.width, crop.height, crop.x, crop.y)
    color = color_of(probe.video)
    if color.matrix:
        value_range = "full" if color.full_range else "limited"
        stream = stream.filter("setparams", colorspace=color.matrix, range=value_range)
    height, width = size
    flags = "bicubic+accurate_rnd+full_chroma_int+bitexact"
    stream = stream.filter("scale", width, height, flags=flags).filter("setsar", 1)
    return stream.filter("format", pixel_format(probe.video))


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
    if video.mirrored:
        steps.append("hflip")
    if video.rotation:
        steps.append(f"rotate {video.rotation}")
    if crop is not None:
        steps.append(f"crop {crop}")
    if video.sar != 1:
        steps.append(f"square pixels from {video.sar.numerator}:{video.sar.denominator}")
    return "; ".join([*steps, str(color_of(video))])


def _multiple(value: Fraction, step: int) -> int:
    return max(step, round(value / step) * step)
