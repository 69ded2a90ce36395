"""Subtitle tracks and chapters of a movie, with times on its timeline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipeline.errors import UnreadableError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.probe.streams.first_look import MAX_OUTPUT_BYTES, clipped, listing
from pipeline.probe.streams.stream_list import is_cover_art
from pipeline.probe.tracks.languages import language_code
from pipeline.sources import Movie, Readable
from shards_spec.recipe import NANOSECONDS

#: Codecs whose subtitles are text; others are images.
TEXT_CODECS = frozenset(
    {"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "tx3g", "stl", "microdvd"}
)

#: Bytes of the subtitles of a movie that are read.
_MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True)
class TextTrack:
    """A subtitle stream."""

    index: int
    codec: str
    language: str
    """ISO 639-2; empty if unknown."""
    is_default: bool
    is_forced: bool
    """Only for what is spoken in another language."""

    @property
    def is_text(self) -> bool:
        """Whether it consists of text."""
        return self.codec in TEXT_CODECS


@dataclass(frozen=True)
class Chapter:
    """A chapter, with times on the movie timeline."""

    start_ns: int
    end_ns: int
    title: str


@dataclass(frozen=True)
class MovieTexts:
    """What a container says about subtitles and chapters."""

    video_start_ns: int
    """Container time of t = 0 of the movie timeline."""
    container_start_ns: int
    """Container time at which players begin to count."""
    tracks: tuple[TextTrack, ...]
    chapters: tuple[Chapter, ...]


def find_texts(movie: Movie, source: Readable) -> MovieTexts:
    """List subtitle tracks and chapters. Raises `MovieError` if the file cannot be read."""
    shown = ("-show_streams", "-show_chapters", "-show_entries", "format=start_time", "-of", "json")
    with listing(movie, source, ("-v", "error", *shown)) as process:
        text = process.read_all(MAX_OUTPUT_BYTES)
        process.finish()
    try:
        described = cast(dict[str, Any], clipped(json.loads(text)))
    except ValueError as error:
        raise UnreadableError(f"{movie.name}: ffprobe printed invalid JSON: {error}") from error
    streams = described.get("streams", [])
    container = _nanoseconds(described.get("format", {}).get("start_time"))
    starts = [
        _nanoseconds(stream.get("start_time"))
        for stream in streams
        if stream.get("codec_type") == "video" and not is_cover_art(stream)
    ]
    video = starts[0] if starts else container
    return MovieTexts(
        video_start_ns=video,
        container_start_ns=container,
        tracks=tuple(_track(item) for item in streams if item.get("codec_type") == "subtitle"),
        chapters=tuple(_chapters(described.get("chapters", []), video)),
    )


def choose_text_track(tracks: Sequence[TextTrack], language: str) -> TextTrack | None:
    """The track of text in a language, in any language if that is empty; None if there is none.

    Tracks with everything that is spoken come before forced ones, then the container's default.
    """
    wanted = language_code(language)
    fitting = [
        track for track in tracks if track.is_text and (not wanted or track.language == wanted)
    ]
    return min(fitting, key=lambda track: (track.is_forced, not track.is_default), default=None)


def read_text_track(movie: Movie, source: Readable, track: TextTrack) -> bytes:
    """A track as WebVTT, with times of the container. Raises `MovieError`."""
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-copyts", *input_arguments(source)]
    command += ["-map", f"0:{track.index}", "-c:s", "webvtt", "-f", "webvtt", "pipe:1"]
    with FfmpegProcess(command, source, what=f"{movie.name}: subtitles") as process:
        data = process.read_all(_MAX_TEXT_BYTES)
        process.finish(tolerate_errors=bool(data))
    return data


def _track(stream: Mapping[str, Any]) -> TextTrack:
    disposition = stream.get("disposition", {})
    return TextTrack(
        index=int(stream["index"]),
        codec=str(stream.get("codec_name", "")),
        language=language_code(str(stream.get("tags", {}).get("language", ""))),
        is_default=bool(disposition.get("default")),
        is_forced=bool(disposition.get("forced")),
    )


def _chapters(chapters: Sequence[Mapping[str, Any]], video_start_ns: int) -> list[Chapter]:
    return [
        Chapter(
            _nanoseconds(item.get("start_time")) - video_start_ns,
            _nanoseconds(item.get("end_time")) - video_start_ns,
            " ".join(str(item.get("tags", {}).get("title", "")).split()) or f"chapter {number}",
        )
        for number, item in enumerate(chapters, start=1)
    ]


def _nanoseconds(value: object) -> int:
    try:
        seconds = float(str(value))
    except ValueError:
        return 0
    return round(seconds * NANOSECONDS) if math.isfinite(seconds) else 0
