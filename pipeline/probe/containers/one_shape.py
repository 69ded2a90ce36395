"""Proves that all frames of an H.264 or HEVC stream have one size, pixel aspect and orientation.

Size and pixel aspect are in the sequence parameter sets: if the container and all packets bring the
same one, they cannot change. Orientation may be in messages of the stream; there must be none. So
no frame has to be decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import ffmpeg

from pipeline.errors import TimedOutError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.probe.containers.parameter_sets import read_extradata
from pipeline.probe.containers.set_units import sets_of_configuration
from pipeline.probe.streams.stream_list import InputOptions
from pipeline.sources import Readable

#: Kinds of units that are sequence parameter sets, and those that are messages (SEI), by codec.
_SETS = {"h264": (7, 15), "hevc": (33,)}
_MESSAGES = {"h264": (6,), "hevc": (39, 40)}
#: Bytes before the content of a unit.
_HEADER_BYTES = {"h264": 1, "hevc": 2}
#: The message that turns frames.
_DISPLAY_ORIENTATION = 47
#: With more bytes of sets and messages than this, nothing is proved.
MAX_BYTES = 1 << 24

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")


def has_one_shape(
    source: Readable, options: InputOptions, stream: int, codec: str, what: str
) -> bool:
    """Whether that is certain. Reads the whole movie, without decoding.

    `what` names the movie in errors. Raises `MovieError` if ffmpeg is stopped.
    """
    if codec not in _SETS:
        return False
    units = _units(source, options, stream, codec, what)
    if units is None:
        return False
    configured = sets_of_configuration(codec, read_extradata(source, options, stream, what))
    sets = {data.rstrip(b"\0") for (kind, _), data in configured.items() if kind in _SETS[codec]}
    for unit in units:
        if _kind(codec, unit) in _SETS[codec]:
            sets.add(unit)
        elif _DISPLAY_ORIENTATION in _messages(unit[_HEADER_BYTES[codec] :]):
            return False
    return len(sets) == 1


def _units(
    source: Readable, options: InputOptions, stream: int, codec: str, what: str
) -> set[bytes] | None:
    """All different sets and messages in the packets; None if there are too many."""
    kinds = "|".join(map(str, (*_SETS[codec], *_MESSAGES[codec])))
    shown = {"format": "rawvideo", "codec": "copy", "copyinkf": None}
    opened = input_stream(source, **dict(options), copyts=None)[str(stream)]
    output = ffmpeg.output(
        opened, "pipe:1", **shown, **{"bsf:v": f"filter_units=pass_types={kinds}"}
    )
    output = output.global_args("-nostdin", "-hide_banner", "-v", "error")
    try:
        with FfmpegProcess(ffmpeg.compile(output, cmd=ffmpeg_path()), source, what=what) as process:
            data = process.read_some(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                return None
            process.finish(tolerate_errors=True)
            if process.returncode or process.has_messages:
                return None
    except TimedOutError:
        # No progress can be seen while packets bring neither.
        return None
    return {unit for unit in (part.rstrip(b"\0") for part in _START_CODE.split(data)) if unit}


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
