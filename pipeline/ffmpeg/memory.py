"""The memory limit of ffmpeg, and how ffmpeg says that it is reached.

A decoder without memory reports what it cannot allocate, and continues with the next packet: frames
are missing, some are damaged, and the exit status may still be 0.
"""

from __future__ import annotations

import contextlib
import re
import resource

from pipeline.limits import GIB, Limits

_NO_MEMORY = re.compile(
    r"Cannot allocate memory|Out of memory|std::bad_alloc|"
    r"(?:Failed|Unable) to (?:re)?alloc|"
    r"(?:Could not|Cannot|Can't|Couldn't) (?:re|\(re\))?allocate|"
    r"Not enough memory|Memory allocation (?:error|failure)|memory allocation fail|"
    r"Error (?:re)?allocating (?:buffer|slice buffer|temporary buffer|memory|a packet)|"
    r"Buffer (?:re)?allocation failed",
    re.I,
)
#: From decoders, which then report the packet as corrupt.
_NO_BUFFER = "get_buffer() failed"
#: Why there may be no buffer although there is memory: a damaged packet with impossible properties.
_REFUSED = re.compile(r"image parameters invalid|exceeds max_samples|pic->data\[\*\]!=NULL")
_CONTEXT = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\]")


class MemoryReports:
    """Follows the lines of stderr."""

    def __init__(self) -> None:
        self.lacked = False
        """Whether an allocation failed."""
        self._refused = ""
        """The decoder that last refused the properties of a frame."""

    def note(self, line: str) -> None:
        """Take in the next line."""
        if _REFUSED.search(line):
            self._refused = _context(line)
        elif _NO_BUFFER in line:
            self.lacked |= not self._refused or self._refused != _context(line)
            self._refused = ""
        elif _NO_MEMORY.search(line):
            self.lacked = True


def _context(line: str) -> str:
    match = _CONTEXT.search(line)
    return match.group() if match else line


def with_allocation_limit(command: list[str], limits: Limits) -> list[str]:
    """`command` with the largest single allocation that ffmpeg may make."""
    if not limits.ffmpeg_memory_gib:
        return command
    largest = min(int(limits.ffmpeg_memory_gib * GIB), 2**31 - 1)
    return [command[0], "-max_alloc", str(largest), *command[1:]]


def limit_memory(pid: int, limits: Limits) -> None:
    """Cap a child's address space, where the system can do that from outside (Linux)."""
    if limits.ffmpeg_memory_gib and hasattr(resource, "prlimit"):
        size = int(limits.ffmpeg_memory_gib * GIB)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
