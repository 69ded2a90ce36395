"""Units of MPEG video: each begins with a start code and lasts until the next one."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = b"\0\0\1"
CODE_BYTES = 4

_START_CODE = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)


@dataclass(frozen=True)
class Unit:
    """A unit of some data."""

    code: int
    """The byte after the prefix."""
    start: int
    """Where its prefix is in the data, bytes."""
    content: bytes
    """What follows the start code."""

    @property
    def end(self) -> int:
        """Where its content ends in the data, bytes."""
        return self.start + CODE_BYTES + len(self.content)


def units_in(data: bytes) -> list[Unit]:
    """All units of some data."""
    found = [*_START_CODE.finditer(data)]
    ends = [*(match.start() for match in found[1:]), len(data)]
    return [
        Unit(match.group(1)[0], match.start(), data[match.end() : end])
        for match, end in zip(found, ends, strict=False)
    ]
