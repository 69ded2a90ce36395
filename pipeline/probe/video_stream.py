"""The video streams of a movie: which of them is the picture, and what its header says of it.

The picture is the largest video stream that is no cover art; the sound is chosen in `tracks`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pipeline.errors import DolbyVisionError, NoVideoStreamError
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS

#: Decoders that mark the frames whose errors they conceal.
_CONCEALING = re.compile(r"h264|mpeg\dvideo|mpeg4|msmpeg4|h26[13]|flv|wmv|vc1|rv\d0|svq\d|cavs")
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
#: Dolby Vision profiles that may stand alone: in IPTPQc2, which no matrix of ffmpeg's turns to RGB.
_DOLBY_PROFILES = (5, 10, 20)


@dataclass(frozen=True)
class Crop:
    """The picture area of the upright coded frame, pixels; even numbers."""

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
    """Width of a coded pixel over its height."""
    rotation: int
    """Degrees clockwise for upright display: 0, 90, 180 or 270."""
    time_base: Fraction
    """Seconds per tick."""
    avg_frame_rate: str
    field_order: str
    hdr: str
    """Transfer function of an HDR stream; empty for SDR."""
    mirrored: bool = False
    """Whether left and right are to be swapped before the rotation."""
    pixel_format: str = ""
    color_range: str = ""
    """`tv`, `pc`, or empty where the stream does not say; so for the three below."""
    color_matrix: str = ""
    color_primaries: str = ""
    color_transfer: str = ""

    declared_duration_ns: int = 0
    """As the container says; 0 where it does not. More than is there when a file is cut off."""
    fields_untold: bool = False
    """Whether the container says interlaced but the frames themselves do not."""

    @property
    def is_interlaced(self) -> bool:
        """Whether some frames hold two fields of different times."""
        return self.field_order in ("tt", "bb", "tb", "bt")

    @property
    def top_field_first(self) -> bool:
        """Whether the top field is the earlier one (the second letter tells what is shown)."""
        return self.field_order in ("tt", "bt")

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in coded pixels after rotation."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def upright_sar(self) -> Fraction:
        """Sample aspect ratio after rotation."""
        return 1 / self.sar if self.rotation in (90, 270) else self.sar


def choose_video(movie: Movie, streams: list[dict[str, Any]]) -> VideoStream:
    """The largest video stream that is no still picture; the default one where sizes are equal."""
    found = [s for s in streams if s.get("codec_type") == "video"]
    real = [
        s
        for s in found
        if not s.get("disposition", {}).get("attached_pic")
        and int(s.get("width") or 0) > 0
        and int(s.get("height") or 0) > 0
    ]
    if not real:
        why = "only cover art" if found else "none at all"
        raise NoVideoStreamError(
            f"{movie.name}: no video stream ({why}); remove the file from the corpus"
        )
    best = max(
        real,
        key=lambda s: (
            int(s["width"]) * int(s["height"]),
            int(s.get("disposition", {}).get("default", 0)),
            -int(s["index"]),
        ),
    )
    require_a_base_layer(movie, best)
    transfer = _known(best.get("color_transfer"))
    mirrored, rotation = orientation(best) or (False, 0)
    return VideoStream(
        index=int(best["index"]),
        codec=str(best.get("codec_name", "unknown")),
        width=int(best["width"]),
        height=int(best["height"]),
        sar=_ratio(str(best.get("sample_aspect_ratio", "1:1"))),
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
    )


def require_a_base_layer(movie: Movie, stream: dict[str, Any]) -> None:
    """Raise `DolbyVisionError` for a stream whose colours only a Dolby Vision decoder can tell.

    Other profiles carry HDR10, HLG or SDR underneath, which is what ffmpeg decodes.
    """
    for item in stream.get("side_data_list", []):
        profile = int(item.get("dv_profile", 0))
        if profile in _DOLBY_PROFILES and int(item.get("dv_bl_signal_compatibility_id", 0)) == 0:
            raise DolbyVisionError(
                f"{movie.name}: Dolby Vision profile {profile} without an HDR10 or SDR base, so "
                "that its colours would come out wrong; use a version with a base (profile 7 or "
                "8), or convert it with a tool that applies Dolby Vision (such as ffmpeg's "
                "libplacebo filter)"
            )


def _ratio(text: str) -> Fraction:
    """`num:den` as a fraction; unknown or senseless ratios count as 1."""
    numerator, _, denominator = text.partition(":")
    try:
        ratio = Fraction(int(numerator), int(denominator))
    except (ValueError, ZeroDivisionError):
        return Fraction(1)
    return ratio if ratio > 0 else Fraction(1)


def _declared_ns(stream: dict[str, Any]) -> int:
    """Seconds of the stream's header, or `h:m:s` of Matroska's tags, as nanoseconds."""
    text = str(stream.get("duration") or stream.get("tags", {}).get("DURATION", ""))
    try:
        parts = [Fraction(part) for part in text.split(":")]
    except ValueError:
        return 0
    seconds = sum(part * 60**place for place, part in enumerate(reversed(parts)))
    return max(0, round(Fraction(seconds) * NANOSECONDS))


def _known(value: object) -> str:
    return "" if value in (None, "unknown", "reserved") else str(value)


def orientation(told: dict[str, Any]) -> tuple[bool, int] | None:
    """(mirror first, then degrees clockwise) of a stream's or a frame's display matrix, if any.

    To the nearest quarter turn. A mirrored picture's matrix has a negative determinant. Angles
    between quarter turns (a phone held askew) are rounded: turned frames would need corners that no
    camera saw.
    """
    for item in told.get("side_data_list", []):
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
