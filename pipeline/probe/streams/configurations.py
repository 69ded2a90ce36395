"""At which keyframes a stream has another decoder configuration than at its start.

A run of the decoder that enters in the middle knows the configuration from the start of the file,
and what the entry itself brings. ffprobe shows neither which configuration a packet brings nor what
is inside of the stream; ffmpeg's `framecrc` muxer writes sizes and checksums of both.

    packets         K p p p K p p p K p p p K p p p
    configuration   A       A       B
    entry           .       yes     yes     no: a run from here would decode B's packets with A
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.probe.streams.stream_list import InputOptions
from pipeline.sources import Movie, Readable

#: Codecs whose configuration ffmpeg finds inside of the stream. H.264 and HEVC have several sets of
#: parameters; see `parameter_sets`.
_EXTRACTED = frozenset(
    {"mpeg1video", "mpeg2video", "mpeg4", "vc1", "cavs", "av1", "avs2", "avs3", "vvc"}
)
#: The configuration that the stream starts with, and the one that a packet brings.
_FIRST = re.compile(rb"#extradata 0: *(\d+, *0x[0-9a-f]+)")
_FLAGS = re.compile(rb"F=0x([0-9A-Fa-f]+)")
_NEW = re.compile(rb"New Extradata, *(\d+, *0x[0-9a-f]+)")
#: Other changes of parameters count as different.
_PARAMETERS = b"Param Change"
#: Other headers than this one may precede keyframes of `mpeg4` as well.
_MPEG4_LAYER = re.compile(rb"\x00\x00\x01[\x20-\x2f]")
_MPEG4_HEADER_BYTES = 4096


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    is_key: bool
    content: bytes
    """Size and checksum of the configuration that it brings; empty if it brings none."""


def is_in_band(codec: str) -> bool:
    """Whether the configuration of a stream may be inside of it: see `configured_keyframes`.

    Streams in containers with a configuration of their own may bring others as well.
    """
    return codec in _EXTRACTED


def changes_of_configuration(
    movie: Movie, source: Readable, options: InputOptions, stream: int
) -> list[bool]:
    """For each packet after the first that brings a configuration: whether it is another one.

    These are configurations that the container announces. Reads the whole movie, without decoding.
    Raises `MovieError` if ffmpeg is stopped.
    """
    packets = _packets(movie, source, options, stream, in_band=False)
    initial = next(packets).content
    first = next(packets, _Packet(None, False, b"")).content or initial
    return [packet.content != first for packet in packets if packet.content]


def configured_keyframes(
    movie: Movie,
    source: Readable,
    options: InputOptions,
    stream: int,
    positions: dict[int, int] | None,
) -> NDArray[np.int64]:
    """(K,) times of the keyframes at which the decoder may start, ticks.

    Reads the whole movie, without decoding. Raises `MovieError` if ffmpeg is stopped.

    Args:
        movie, source, options, stream: whose configuration `is_in_band`.
        positions: of the packets of an `mpeg4` stream in the file, by time; None for other codecs.
    """
    packets = _packets(movie, source, options, stream, in_band=True)
    initial = next(packets).content
    # The last whole configuration, and what was added to it since.
    in_force = start = (initial, b"")
    is_whole: dict[bytes, bool] = {initial: True}
    times: list[int] = []
    for packet in packets:
        own = start
        if packet.content:
            if packet.content not in is_whole:
                position = None if positions is None else positions.get(packet.pts or 0, -1)
                is_whole[packet.content] = _has_layer(source, position)
            if is_whole[packet.content]:
                in_force = own = (packet.content, b"")
            else:
                in_force, own = (in_force[0], packet.content), (initial, packet.content)
        if packet.is_key and packet.pts is not None and own == in_force:
            times.append(packet.pts)
    return np.array(times, np.int64)


def _has_layer(source: Readable, position: int | None) -> bool:
    """Whether the headers of an `mpeg4` packet are a configuration; None for other codecs.

    Times of day and user data may also precede keyframes.
    """
    if position is None:
        return True
    head = source.read(position, position + _MPEG4_HEADER_BYTES) if position >= 0 else b""
    return _MPEG4_LAYER.search(head) is not None


def _packets(
    movie: Movie, source: Readable, options: InputOptions, stream: int, *, in_band: bool
) -> Iterator[_Packet]:
    """The configuration from the start, in place of a packet, and then the packets of a stream."""
    opened = input_stream(source, **dict(options), copyts=None)
    extracting = {"bsf:v": "extract_extradata"} if in_band else {}
    shown = {"format": "framecrc", "codec": "copy", "copyinkf": None, **extracting}
    output = ffmpeg.output(opened[str(stream)], "pipe:1", **shown)
    output = output.global_args("-nostdin", "-v", "error")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    initial, has_begun = b"", False
    with FfmpegProcess(command, source, what=movie.name, decodes=False) as process:
        for line in process.lines():
            if line.startswith(b"#"):
                initial = _content(_FIRST, line) or initial
                continue
            if not has_begun:
                yield _Packet(None, False, initial)
            has_begun = True
            yield _packet(line)
        process.finish(tolerate_errors=True)
    if not has_begun:
        yield _Packet(None, False, initial)


def _packet(line: bytes) -> _Packet:
    # stream, dts, pts, duration, size, checksum, and flags if it is not simply a keyframe.
    words = line.split(b",", 6)
    pts = words[2].strip()
    rest = words[6] if len(words) > 6 else b""
    flags = _FLAGS.search(rest)
    content = _content(_NEW, rest) or (_PARAMETERS if _PARAMETERS in rest else b"")
    is_key = flags is None or int(flags.group(1), 16) & 1 == 1
    return _Packet(int(pts) if pts.lstrip(b"-").isdigit() else None, is_key, content)


def _content(pattern: re.Pattern[bytes], line: bytes) -> bytes:
    match = pattern.search(line)
    return match.group(1).replace(b" ", b"") if match else b""
