"""Which video stream of a movie is used, and what its header says about it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pipeline.errors import DolbyVisionError, NoVideoStreamError
from pipeline.probe.streams.packets import Packets
from pipeline.probe.streams.stream_list import (
    StreamList,
    has_picture_size,
    is_audible,
    is_cover_art,
)
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS

#: Decoders that mark the frames whose errors they conceal.
_CONCEALING = re.compile(r"h264|mpeg\dvideo|mpeg4|msmpeg4|h26[13]|flv|wmv|vc1|rv\d0|svq\d|cavs")
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
#: Dolby Vision profiles that may have no other base layer: in IPTPQc2, which ffmpeg cannot convert.
_DOLBY_PROFILES = (5, 10, 20)
#: A stream is a still if it has less than these shares of the longest stream's length, or of the
#: most frames that a stream has.
MIN_LENGTH = 0.5
MIN_FRAMES = 0.05


@dataclass(frozen=True)
class Crop:
    """An area of the upright coded frame, pixels; even numbers."""

    width: int
    height: int
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.width}:{self.height}:{self.x}:{self.y}"


@dataclass(frozen=True)
class VideoStream:
    """The chosen video stream."""

    index: int
    codec: str
    width: int
    """As coded, pixels."""
    height: int
    sar: Fraction
    """Width of a coded pixel divided by its height."""
    rotation: int
    """Degrees clockwise for upright display: 0, 90, 180 or 270."""
    time_base: Fraction
    """Seconds per tick."""
    avg_frame_rate: str
    field_order: str
    hdr: str
    """Transfer function of an HDR stream; empty for SDR."""
    mirrored: bool = False
    """Whether left and right are swapped, before the rotation."""
    pixel_format: str = ""
    color_range: str = ""
    """`tv`, `pc`, or empty if the stream does not say; likewise for the next three fields."""
    color_matrix: str = ""
    color_primaries: str = ""
    color_transfer: str = ""
    declared_duration_ns: int = 0
    """As the container says; 0 if it does not. Exceeds the real duration if a file is cut off."""
    has_unmarked_fields: bool = False
    """Whether the container says interlaced but the frames themselves do not."""
    container_crop: Crop | None = None
    """The part of the coded frame that the container wants shown; None for all of it."""

    @property
    def is_interlaced(self) -> bool:
        """Whether some frames contain two fields of different times."""
        return self.field_order in ("tt", "bb", "tb", "bt")

    @property
    def top_field_first(self) -> bool:
        """Whether the top field is the earlier one (the second letter is the display order)."""
        return self.field_order in ("tt", "bt")

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in coded pixels after the container's crop and rotation."""
        shown = self.container_crop or self
        turned = self.rotation in (90, 270)
        return (shown.height, shown.width) if turned else (shown.width, shown.height)

    @property
    def upright_sar(self) -> Fraction:
        """Sample aspect ratio after rotation."""
        return 1 / self.sar if self.rotation in (90, 270) else self.sar


def choose_video(
    movie: Movie, listed: StreamList, packets: Packets, decodable: frozenset[str]
) -> VideoStream:
    """The largest video stream that is not a still; the default one among equals.

    Streams with audio in their program come before others, and streams with a decoder as well.

    Args:
        movie: its `program`, if set, is the program that the stream must belong to.
        listed: the streams of its file.
        packets: of these streams. Stills (covers, posters, logos) are recognized by them.
        decodable: codecs that ffmpeg can decode.

    Raises:
        NoVideoStreamError: there is none.
        DolbyVisionError: its colors require a Dolby Vision decoder.
    """
    streams = _moving(_candidates(movie, listed), packets)
    streams = [s for s in streams if s.get("codec_name") in decodable] or streams
    audible = {int(stream["index"]) for stream in listed.of_type("audio") if is_audible(stream)}

    def rank(stream: dict[str, Any]) -> tuple[bool, int, int, int]:
        index = int(stream["index"])
        return (
            any(program.streams & audible for program in listed.programs_of(index)),
            int(stream["width"]) * int(stream["height"]),
            int(stream.get("disposition", {}).get("default", 0)),
            -index,
        )

    best = max(streams, key=rank)
    require_a_base_layer(movie, best)
    return video_stream(best)


def _candidates(movie: Movie, listed: StreamList) -> list[dict[str, Any]]:
    """The video streams of a known size that are not cover art, of the requested program."""
    found = listed.of_type("video")
    real = [stream for stream in found if has_picture_size(stream) and not is_cover_art(stream)]
    if not real:
        why = f"none in the first {listed.searched} of it"
        if found:
            why = "only cover art" if all(map(is_cover_art, found)) else "none that can be decoded"
        raise NoVideoStreamError(
            f"{movie.name}: no video stream ({why}); remove the file from the corpus"
        )
    if not movie.program:
        return real
    numbers = {
        int(s["index"]): [p.number for p in listed.programs_of(int(s["index"]))] for s in real
    }
    wanted = [stream for stream in real if movie.program in numbers[int(stream["index"])]]
    if not wanted:
        known = ", ".join(map(str, sorted({n for found in numbers.values() for n in found})))
        raise NoVideoStreamError(
            f"{movie.name}: program {movie.program}, which the corpus names, has no video stream; "
            f"programs of this file that have one: {known or 'none'}"
        )
    return wanted


def _moving(streams: list[dict[str, Any]], packets: Packets) -> list[dict[str, Any]]:
    """The streams without those that are far shorter than others, or have far fewer frames."""
    seconds, frames = [], []
    for stream in streams:
        table = packets.video.get(int(stream["index"]))
        is_empty = table is None or not len(table)
        frames.append(0 if table is None else len(table))
        ticks = 0 if table is None or is_empty else int(table.pts.max() - table.pts.min())
        seconds.append(float(ticks * Fraction(stream["time_base"])))
    return [
        stream
        for stream, length, count in zip(streams, seconds, frames, strict=True)
        if length >= MIN_LENGTH * max(seconds) and count >= MIN_FRAMES * max(frames)
    ]


def video_stream(best: dict[str, Any]) -> VideoStream:
    """What the header of a listed stream says about it."""
    transfer = _known(best.get("color_transfer"))
    mirrored, rotation = orientation(best) or (False, 0)
    return VideoStream(
        index=int(best["index"]),
        codec=str(best.get("codec_name", "unknown")),
        width=int(best["width"]),
        height=int(best["height"]),
        sar=ratio(str(best.get("sample_aspect_ratio", "1:1"))),
        rotation=rotation,
        time_base=Fraction(best["time_base"]),
        avg_frame_rate=str(best.get("avg_frame_rate", "0/0")),
        field_order=str(best.get("field_order", "")),
        hdr=transfer if transfer in _HDR_TRANSFERS else "",
        mirrored=mirrored,
        pixel_format=str(best.get("pix_fmt", "")),
        color_range=_known(best.get("color_range")),
        color_matrix=_known(best.get("color_space")),
        color_primaries=_known(best.get("color_primaries")),
        color_transfer=transfer,
        declared_duration_ns=_declared_ns(best),
        container_crop=_container_crop(best),
    )


def _container_crop(stream: dict[str, Any]) -> Crop | None:
    """The area that `clap` (MP4, MOV) or PixelCrop (Matroska) leaves, on even pixels.

    Only ffmpeg 7.1 and later read these, and apply them by default.
    """
    for item in stream.get("side_data_list", []):
        if item.get("side_data_type") != "Frame Cropping":
            continue
        left, top = (int(item.get(f"crop_{side}", 0)) // 2 * 2 for side in ("left", "top"))
        right, bottom = (int(item.get(f"crop_{side}", 0)) for side in ("right", "bottom"))
        width = (int(stream["width"]) - left - right) // 2 * 2
        height = (int(stream["height"]) - top - bottom) // 2 * 2
        if min(width, height) >= 2 and (left or top or right or bottom):
            return Crop(width, height, left, top)
    return None


def require_a_base_layer(movie: Movie, stream: dict[str, Any]) -> None:
    """Raise `DolbyVisionError` for a stream whose colors require a Dolby Vision decoder.

    Other profiles have an HDR10, HLG or SDR base layer, which is what ffmpeg decodes.
    """
    for item in stream.get("side_data_list", []):
        profile = int(item.get("dv_profile", 0))
        if profile in _DOLBY_PROFILES and int(item.get("dv_bl_signal_compatibility_id", 0)) == 0:
            raise DolbyVisionError(
                f"{movie.name}: Dolby Vision profile {profile} without an HDR10 or SDR base, so "
                "that its colors would be wrong; use a version with a base (profile 7 or "
                "8), or convert it with a tool that applies Dolby Vision (such as ffmpeg's "
                "libplacebo filter)"
            )


def ratio(text: str) -> Fraction:
    """`num:den` as a fraction; unknown or invalid ratios count as 1."""
    numerator, _, denominator = text.partition(":")
    try:
        ratio = Fraction(int(numerator), int(denominator))
    except (ValueError, ZeroDivisionError):
        return Fraction(1)
    return ratio if ratio > 0 else Fraction(1)


def _declared_ns(stream: dict[str, Any]) -> int:
    """Duration by the stream's header (seconds, or `h:m:s` of Matroska's tags), nanoseconds.

    For AVI files, ffmpeg scales the duration down to the bytes that are there, but not the number
    of frames; one tick is one frame there.
    """
    tick = Fraction(stream["time_base"])
    text = str(stream.get("duration") or stream.get("tags", {}).get("DURATION", ""))
    try:
        parts = [Fraction(part) for part in text.split(":")]
    except ValueError:
        return 0
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    by_frames = Fraction(0)
    if ratio(str(stream.get("r_frame_rate", "0/1")).replace("/", ":")) * tick == 1:
        by_frames = int(stream.get("nb_frames", 0)) * tick
    return max(0, round(max(Fraction(seconds), by_frames) * NANOSECONDS))


def _known(value: object) -> str:
    return "" if value in (None, "unknown", "reserved") else str(value)


def orientation(described: dict[str, Any]) -> tuple[bool, int] | None:
    """(mirrored, then degrees clockwise) of the display matrix of a stream or frame, if it has one.

    The matrix of a mirrored image has a negative determinant. Angles are rounded to quarter turns:
    a frame turned by any other angle would need corners that no camera recorded.
    """
    for item in described.get("side_data_list", []):
        rows = [line.split(":")[-1].split() for line in item.get("displaymatrix", "").splitlines()]
        numbers = [[int(number) for number in row] for row in rows if len(row) == 3]
        if len(numbers) != 3:
            continue
        # (x, y) is shown at (a x + c y, b x + d y); y points down.
        (a, b, _), (c, d, _) = numbers[:2]
        mirrored = a * d - b * c < 0
        sign = -1 if mirrored else 1
        return mirrored, round(math.degrees(math.atan2(sign * b, sign * a)) / 90) * 90 % 360
    return None


def conceals_errors(codec: str) -> bool:
    """Whether the decoder of a codec (by ffmpeg's name) marks frames whose errors it concealed."""
    return _CONCEALING.match(codec) is not None
