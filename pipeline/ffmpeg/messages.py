r"""Separates what ffmpeg's threads write to one line of stderr.

A library may log a line in pieces, and another thread may log a whole message between two of them:

    [mpegts @ 0x1] Packet corrupt (stream = 1, dts = 360)n:7 pts:8064 ... checksum:1CD2A0F5 .
    \______________ the demuxer's first piece __________/\______ a filter's report ______/\ and its
                                                                                    second piece

The report on a frame must not be missed then, nor the error. ffmpeg writes the start of a report in
one piece, and only a message at the start of a line has a prefix in brackets.
"""

from __future__ import annotations

import re
from itertools import pairwise

#: Where a report begins, after something that is not the prefix of its own line.
_SHARED = re.compile(
    rb"(?<!\] )(?:n:\d+ pts:(?:-?\d+|NOPTS) |"
    rb"(?:demuxer(?:\+\w+)?|decoder|encoder|muxer) (?:->|<-) )"
)
#: A report of `ashowinfo`, which is written in pieces, and what follows it.
_IN_PIECES = re.compile(
    rb"(.*\bn:\d+ pts:.* checksum:[0-9A-F]{8} (?:plane_checksums: (?:\[ (?:[0-9A-F]{8} )*\]?)?)?)"
    rb"(.*)"
)
#: A report of `ashowinfo` that has its line for itself.
_WHOLE = re.compile(
    rb"\[Parsed_ashowinfo_\d++ @ 0x[0-9a-f]++\] (?:\[info\] )?n:\d++ (?:[a-z_]++:[^ \[]++ )++"
    rb"plane_checksums: \[ (?:[0-9A-F]{8} )*+\]\s*+"
)
_ARROWS = (b" -> ", b" <- ")


def separate(line: bytes) -> list[bytes]:
    """The messages of a line, in order; nearly always the line itself."""
    for arrow in _ARROWS:
        end = line.find(arrow)
        if end > 0:
            start = line.rfind(b" ", 0, end) + 1
            # Most lines: one report after its prefix. Looking closer costs ten times as much.
            return [line] if line.endswith(b"] ", 0, start) else _cut(line)
    if b"n:" not in line or _WHOLE.fullmatch(line):
        return [line]
    return _cut(line)


def _cut(line: bytes) -> list[bytes]:
    starts = [match.start() for match in _SHARED.finditer(line)]
    edges = [0, *(start for start in starts if start > 0), len(line)]
    parts = [line[start:end] for start, end in pairwise(edges)]
    return [message for part in parts for message in _without_pieces(part)]


def _without_pieces(part: bytes) -> list[bytes]:
    match = _IN_PIECES.fullmatch(part)
    return [message for message in match.groups() if message] if match else [part]
