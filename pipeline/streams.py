"""The streams of a movie, and which of them are used.

The picture is the largest video stream that is no cover art. The sound is chosen by: a main track
before commentary and audio description, then the wanted language, the default disposition, most
channels, the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pipeline.corpus import Movie
from pipeline.errors import NoAudioStreamError, NoVideoStreamError

_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
#: Dispositions of audio tracks that describe or comment on the movie.
_SECONDARY = ("comment", "visual_impaired", "hearing_impaired", "descriptions", "karaoke")


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

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in coded pixels after rotation."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def upright_sar(self) -> Fraction:
        """Sample aspect ratio after rotation."""
        return 1 / self.sar if self.rotation in (90, 270) else self.sar


@dataclass(frozen=True)
class AudioStream:
    """The chosen audio stream."""

    index: int
    codec: str
    channels: int
    sample_rate_hz: int
    language: str


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
    transfer = str(best.get("color_transfer", ""))
    return VideoStream(
        index=int(best["index"]),
        codec=str(best.get("codec_name", "unknown")),
        width=int(best["width"]),
        height=int(best["height"]),
        sar=_ratio(str(best.get("sample_aspect_ratio", "1:1"))),
        rotation=_rotation(best),
        time_base=Fraction(best["time_base"]),
        avg_frame_rate=str(best.get("avg_frame_rate", "0/0")),
        field_order=str(best.get("field_order", "")),
        hdr=transfer if transfer in _HDR_TRANSFERS else "",
    )


def choose_audio(movie: Movie, streams: list[dict[str, Any]], language: str) -> AudioStream:
    """By: main track, wanted language, default disposition, most channels, first."""
    found = [s for s in streams if s.get("codec_type") == "audio" and int(s.get("channels") or 0)]
    if not found:
        raise NoAudioStreamError(
            f"{movie.name}: no audio stream; audio-visual clips need one: remove the file from "
            "the corpus, or give it a sound track"
        )

    def preference(stream: dict[str, Any]) -> tuple[bool, bool, int, int, int]:
        marks = stream.get("disposition", {})
        title = str(stream.get("tags", {}).get("title", "")).lower()
        secondary = any(marks.get(mark) for mark in _SECONDARY) or "commentary" in title
        spoken = str(stream.get("tags", {}).get("language", "")).lower()
        wanted = bool(language) and spoken[:2] == language.lower()[:2]
        return (
            not secondary,
            wanted,
            int(marks.get("default", 0)),
            int(stream["channels"]),
            -int(stream["index"]),
        )

    best = max(found, key=preference)
    return AudioStream(
        index=int(best["index"]),
        codec=str(best.get("codec_name", "unknown")),
        channels=int(best["channels"]),
        sample_rate_hz=int(best.get("sample_rate") or 0),
        language=str(best.get("tags", {}).get("language", "")),
    )


def _ratio(text: str) -> Fraction:
    """`num:den` as a fraction; unknown or senseless ratios count as 1."""
    numerator, _, denominator = text.partition(":")
    try:
        ratio = Fraction(int(numerator), int(denominator))
    except (ValueError, ZeroDivisionError):
        return Fraction(1)
    return ratio if ratio > 0 else Fraction(1)


def _rotation(stream: dict[str, Any]) -> int:
    """Clockwise degrees from the display matrix, to the nearest quarter turn."""
    for item in stream.get("side_data_list", []):
        if "rotation" in item:
            # ffprobe reports the matrix's angle, counter-clockwise.
            return round(-float(item["rotation"]) / 90) * 90 % 360
    return 0
