"""Parameter sets of H.264 and HEVC: which set a unit of the stream replaces.

A decoder keeps one set per kind and number. Two decoders that read different parts of a stream are
equal where they hold equal sets, so that is what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: (kind, number) -> the bytes of the set.
Sets = dict[tuple[int, int], bytes]

#: Kinds of units that hold parameters, by codec.
KINDS = {"h264": (7, 8, 13, 15), "hevc": (32, 33, 34)}
#: The encoder's name, which only the first picture carries. ffmpeg decodes 4:4:4 of old versions of
#: x264 in another way.
H264_SEI = 6
_X264 = re.compile(rb"x264 - core (\d+)")
_FIXED_X264 = 151

_H264_SPS = (7, 15)
_HEVC_VPS, _HEVC_SPS = 32, 33
_START_CODE = re.compile(rb"\x00*\x00\x00\x01")


def sets_in(codec: str, data: bytes) -> Sets:
    """The parameter sets in units with start codes; those that cannot be read have number -1."""
    units = [unit.rstrip(b"\0") for unit in _START_CODE.split(data)]
    return _sets(codec, [unit for unit in units if unit])


def sets_of_configuration(codec: str, extradata: bytes) -> Sets:
    """The parameter sets in a container's decoder configuration: `avcC`, `hvcC` or units."""
    if extradata.startswith((b"\0\0\1", b"\0\0\0\1")):
        return sets_in(codec, extradata)
    if codec == "h264":
        return _sets(codec, _units_of_avcc(extradata))
    return _sets(codec, _units_of_hvcc(extradata))


def _units_of_avcc(data: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (0x1F, 0xFF):
        count = data[at] & mask if at < len(data) else 0
        at += 1
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            yield data[at + 2 : at + 2 + size]
            at += 2 + size


def _units_of_hvcc(data: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(data[22] if len(data) > 22 else 0):
        count = int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            yield data[at + 2 : at + 2 + size]
            at += 2 + size


def _sets(codec: str, units: Iterator[bytes] | list[bytes]) -> Sets:
    sets: Sets = {}
    for unit in units:
        if not unit:
            continue
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        if codec == "h264" and kind == H264_SEI:
            match = _X264.search(unit)
            if match and int(match.group(1)) < _FIXED_X264:
                sets[kind, 0] = match.group(1)
        elif kind in KINDS[codec]:
            sets[kind, _number(codec, kind, unit)] = unit
    return sets


def _number(codec: str, kind: int, unit: bytes) -> int:
    payload = unit[1 if codec == "h264" else 2 :].replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in payload[:128])
    if kind == _HEVC_VPS:
        return int(bits[:4] or "0", 2)
    start = 0
    if codec == "h264" and kind in _H264_SPS:
        start = 24
    elif kind == _HEVC_SPS:
        start = _end_of_profile(bits)
    return _exp_golomb(bits, start)


def _end_of_profile(bits: str) -> int:
    """Where the number of an HEVC sequence parameter set begins."""
    num_layers = int(bits[4:7] or "0", 2)
    # Header, general profile, general level.
    start = 8 + 88 + 8
    if num_layers:
        flags = bits[start : start + 16]
        start += 16
        for layer in range(num_layers):
            start += 88 * (flags[2 * layer : 2 * layer + 1] == "1")
            start += 8 * (flags[2 * layer + 1 : 2 * layer + 2] == "1")
    return start


def _exp_golomb(bits: str, start: int) -> int:
    one = bits.find("1", start)
    if one < 0:
        return -1
    length = one - start
    return int(bits[one : one + length + 1], 2) - 1
