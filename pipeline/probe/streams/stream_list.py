"""The streams and programs of a container, as ffprobe lists them.

Some containers (transport and program streams) have no table of contents: a stream exists once its
first packet, or its first keyframe, has been read. So the search goes deeper before a movie is said
to have no video or no audio.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, cast

from pipeline.errors import UnreadableError
from pipeline.probe.streams.first_look import LISTING_GIB, MAX_OUTPUT_BYTES, clipped, listing
from pipeline.sources import Movie, Readable

#: Options of the demuxer that every later ffmpeg and ffprobe of the movie needs as well, so that
#: all of them number the streams alike: pairs of name and value.
InputOptions = tuple[tuple[str, str], ...]

#: How far to look for streams, in order: ffmpeg's own 5 MB or 5 s, then these (bytes, seconds).
#: The depth is also the memory that ffmpeg may need for packets it has read ahead.
SEARCH_DEPTHS = ((20_000_000, 20), (80_000_000, 120), (320_000_000, 600))


@dataclass(frozen=True)
class Program:
    """A program of a transport stream."""

    number: int
    name: str
    """Of the service; often empty."""
    streams: frozenset[int]
    """Indexes of its streams."""


@dataclass(frozen=True)
class StreamList:
    """What a container holds."""

    streams: tuple[dict[str, Any], ...]
    """As ffprobe describes them."""
    programs: tuple[Program, ...]
    """Programs with at least one stream; empty for most containers."""
    container: str
    """ffmpeg's name of the demuxer."""
    end_seconds: float
    """Container time at which the file ends by its own account; 0 if unknown."""
    options: InputOptions
    """With which the streams were found."""
    searched: str
    """How far the file was read, in words."""

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The streams of a codec type."""
        return [stream for stream in self.streams if stream.get("codec_type") == kind]

    def programs_of(self, index: int) -> list[Program]:
        """The programs that a stream belongs to."""
        return [program for program in self.programs if index in program.streams]


def has_picture_size(stream: dict[str, Any]) -> bool:
    """Whether the frame size of a video stream is known."""
    return int(stream.get("width") or 0) > 0 and int(stream.get("height") or 0) > 0


def is_cover_art(stream: dict[str, Any]) -> bool:
    """Whether a video stream is marked as an attached picture."""
    return bool(stream.get("disposition", {}).get("attached_pic"))


def is_audible(stream: dict[str, Any]) -> bool:
    """Whether the sample rate and channels of an audio stream are known."""
    return int(stream.get("channels") or 0) > 0 and int(stream.get("sample_rate") or 0) > 0


def as_arguments(options: InputOptions) -> list[str]:
    """Options as words of a command line, to be put before `-i`."""
    return [word for name, value in options for word in (f"-{name}", value)]


def list_streams(movie: Movie, source: Readable) -> StreamList:
    """List the streams of a movie, looking as far as it takes to find video and audio.

    Raises `MovieError` if the file cannot be read.
    """
    listed = _list(movie, source, (), "5 s")
    for num_bytes, seconds in SEARCH_DEPTHS:
        if _is_complete(listed):
            break
        options = (("probesize", str(num_bytes)), ("analyzeduration", str(seconds * 1_000_000)))
        deeper = _list(movie, source, options, f"{seconds} s")
        # Shallow options suffice if nothing more was found.
        has_more = _num_usable(deeper) > _num_usable(listed)
        listed = deeper if has_more else replace(listed, searched=deeper.searched)
        if _has_both(listed) and seconds > SEARCH_DEPTHS[0][1]:
            # Streams that are announced, but have no packet for minutes, may never have one.
            break
    return listed


def list_quickly(movie: Movie, source: Readable) -> StreamList:
    """The streams at the start of a file, which need not have both video and audio."""
    return _list(movie, source, (), "5 s")


def relist(movie: Movie, source: Readable, listed: StreamList, options: InputOptions) -> StreamList:
    """The streams of a movie as they are numbered with other options."""
    return _list(movie, source, options, listed.searched)


def _num_usable(listed: StreamList) -> int:
    num_video = sum(map(has_picture_size, listed.of_type("video")))
    return num_video + sum(map(is_audible, listed.of_type("audio")))


def _has_both(listed: StreamList) -> bool:
    video = [s for s in listed.of_type("video") if has_picture_size(s) and not is_cover_art(s)]
    return bool(video) and any(map(is_audible, listed.of_type("audio")))


def _is_complete(listed: StreamList) -> bool:
    """Whether video, audio, and the parameters of every announced stream are known."""
    video = [stream for stream in listed.of_type("video") if not is_cover_art(stream)]
    all_known = all(map(has_picture_size, video)) and all(map(is_audible, listed.of_type("audio")))
    return all_known and _has_both(listed)


def _list(movie: Movie, source: Readable, options: InputOptions, searched: str) -> StreamList:
    arguments = ("-v", "error", *as_arguments(options))
    # Neither the container's tags nor its chapters matter here, and both may be megabytes.
    container = "format=format_name,start_time,duration"
    shown = ("-show_streams", "-show_programs", "-show_entries", container, "-of", "json")
    with listing(movie, source, (*arguments, *shown)) as process:
        text = process.read_all(MAX_OUTPUT_BYTES)
        process.finish()
        try:
            described = cast(dict[str, Any], clipped(json.loads(text)))
        except ValueError as error:
            raise UnreadableError(f"{movie.name}: ffprobe printed invalid JSON: {error}") from error
        may_get_more = source.limits.ffmpeg_memory_gib < LISTING_GIB
        are_described = all(map(_is_described, described.get("streams", [])))
        if process.lacked_memory and may_get_more and not are_described:
            # ffprobe decodes a frame to learn what the container omits.
            raise process.error("the streams could not be described")
    container = described.get("format", {})
    start, length = (_seconds(container.get(key)) for key in ("start_time", "duration"))
    return StreamList(
        streams=tuple(described.get("streams", [])),
        programs=tuple(map(_program, filter(_has_streams, described.get("programs", [])))),
        container=str(container.get("format_name", "")),
        end_seconds=start + length if length > 0 else 0.0,
        options=options,
        searched=searched,
    )


def _is_described(stream: dict[str, Any]) -> bool:
    """Whether everything is known about a stream that decoding shows."""
    if stream.get("codec_type") == "video":
        return has_picture_size(stream) and "pix_fmt" in stream
    return stream.get("codec_type") != "audio" or (is_audible(stream) and "sample_fmt" in stream)


def _has_streams(program: dict[str, Any]) -> bool:
    return bool(program.get("streams"))


def _program(program: dict[str, Any]) -> Program:
    return Program(
        number=int(program.get("program_num") or program.get("program_id") or 0),
        name=str(program.get("tags", {}).get("service_name", "")),
        streams=frozenset(int(stream["index"]) for stream in program["streams"]),
    )


def _seconds(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
