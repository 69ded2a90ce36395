"""Proves that all frames of an H.264 or HEVC stream have one size, pixel aspect and orientation.

Size and pixel aspect are in the sequence parameter sets: if the container and all packets bring the
same one, they cannot change. Orientation may be in messages of the stream; there must be none. So
no frame has to be decoded. The same reading shows whether frames may be interlaced, or may carry
metadata that a container lacks, and whether packets bring parameter sets at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import ffmpeg

from pipeline.errors import TimedOutError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.probe.containers.parameter_sets import read_extradata
from pipeline.probe.containers.set_units import KINDS, sets_of_configuration
from pipeline.probe.disposable.h264_sequence import parse_h264_sequence
from pipeline.probe.disposable.stream_units import StreamUnits
from pipeline.probe.streams.stream_list import InputOptions
from pipeline.sources import Readable

#: Kinds of units that are sequence parameter sets, and those that are messages (SEI), by codec.
_SETS = {"h264": (7, 15), "hevc": (33,)}
_MESSAGES = {"h264": (6,), "hevc": (39, 40)}
#: Bytes before the content of a unit.
_HEADER_BYTES = {"h264": 1, "hevc": 2}
#: The message that turns frames, and those that describe fields or the brightness of an HDR master.
_DISPLAY_ORIENTATION = 47
_TIMING, _MASTERING_DISPLAY, _CONTENT_LIGHT = 1, 137, 144
_DESCRIBING = frozenset({_DISPLAY_ORIENTATION, _TIMING, _MASTERING_DISPLAY, _CONTENT_LIGHT})
#: With more bytes of sets and messages than this, nothing is proved.
MAX_BYTES = 1 << 24

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")


@dataclass(frozen=True)
class SameFrames:
    """What is certainly the same for all frames of a stream."""

    has_one_shape: bool = False
    """Whether they have one size, pixel aspect and orientation."""
    is_plain: bool = False
    """Whether they also are progressive, and the stream has no metadata about them."""
    are_configured_once: bool = False
    """Whether all parameter sets are those of the container, because no packet brings any."""


def examine_units(
    source: Readable,
    options: InputOptions,
    stream: int,
    codec: str,
    what: str,
    known: StreamUnits | None = None,
) -> SameFrames:
    """What the units of a stream prove. Reads the whole movie, without decoding, unless `known`.

    `what` names the movie in errors, `known` are the units if they were read before. Raises
    `MovieError` if ffmpeg is stopped.
    """
    if codec not in _SETS:
        return SameFrames()
    if known is not None:
        units, configuration = known.kept, known.configuration
    else:
        units = _units(source, options, stream, codec, what)
        configuration = read_extradata(source, options, stream, what) if units is not None else b""
    if units is None:
        return SameFrames()
    configured = sets_of_configuration(codec, configuration)
    sets = {data.rstrip(b"\0") for (kind, _), data in configured.items() if kind in _SETS[codec]}
    messages: set[int] = set()
    for unit in units:
        if _kind(codec, unit) in _SETS[codec]:
            sets.add(unit)
        elif _kind(codec, unit) in _MESSAGES[codec]:
            messages |= set(_messages(unit[_HEADER_BYTES[codec] :]))
    is_configured_once = not any(_kind(codec, unit) in KINDS[codec] for unit in units)
    if len(sets) != 1 or _DISPLAY_ORIENTATION in messages:
        return SameFrames(are_configured_once=is_configured_once)
    is_plain = _is_progressive(codec, sets.pop()) and not messages & _DESCRIBING
    return SameFrames(True, is_plain, is_configured_once)


def _is_progressive(codec: str, sequence: bytes) -> bool:
    """Whether a sequence allows whole frames only; in HEVC only messages describe fields."""
    if codec == "hevc":
        return True
    parsed = parse_h264_sequence(sequence)
    return parsed is not None and parsed.is_progressive


def _units(
    source: Readable, options: InputOptions, stream: int, codec: str, what: str
) -> frozenset[bytes] | None:
    """All different sets and messages in the packets; None if there are too many."""
    kinds = "|".join(map(str, (*KINDS[codec], *_MESSAGES[codec])))
    shown = {"format": "rawvideo", "codec": "copy", "copyinkf": None}
    opened = input_stream(source, **dict(options), copyts=None)[str(stream)]
    output = ffmpeg.output(
        opened, "pipe:1", **shown, **{"bsf:v": f"filter_units=pass_types={kinds}"}
    )
    output = output.global_args("-nostdin", "-hide_banner", "-v", "error")
    try:
        command = ffmpeg.compile(output, cmd=ffmpeg_path())
        with FfmpegProcess(command, source, what=what, decodes=False) as process:
            data = process.read_some(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                return None
            process.finish(tolerate_errors=True)
            if process.returncode or process.has_messages:
                return None
    except TimedOutError:
        # No progress can be seen while packets bring neither.
        return None
    parts = (part.rstrip(b"\0") for part in _START_CODE.split(data))
    return frozenset(part for part in parts if part)


def _kind(codec: str, unit: bytes) -> int:
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def _messages(payload: bytes) -> Iterator[int]:
    """The types of the messages in a unit; `_DISPLAY_ORIENTATION` if it cannot be read."""
    data = payload.replace(b"\0\0\3", b"\0\0")
    at = 0
    try:
        while data[at:] not in (b"", b"\x80"):
            fields = [0, 0]
            for number in range(2):
                while data[at] == 255:
                    fields[number] += 255
                    at += 1
                fields[number] += data[at]
                at += 1
            yield fields[0]
            at += fields[1]
    except IndexError:
        yield _DISPLAY_ORIENTATION
