"""The memory limit of ffmpeg, and how ffmpeg says that it is reached.

A decoder without memory mostly reports what it cannot allocate, and continues with the next packet:
frames are missing, some are damaged, and the exit status may still be 0. Some allocations fail with
a message that is also about damage, or without one; where little was left of the limit, any error
may therefore come from that.
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
#: How messages of `-loglevel level+...` begin that are about errors, after their context.
_ERRORS = ("[error] ", "[fatal] ")
#: Address space that a process may need beyond its resident memory: code, stacks, a frame. GiB.
_NOT_RESIDENT_GIB = 0.5
_CONTEXT = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\]")


class MemoryReports:
    """Follows the lines of stderr."""

    def __init__(self) -> None:
        self.lacked = False
        """Whether an allocation failed."""
        self.has_errors = False
        """Whether there was any error, in a process that is started with the levels of messages."""
        self._refused = ""
        """The decoder that last refused the properties of a frame."""

    def note(self, line: str) -> None:
        """Take in the next line."""
        self.has_errors |= any(level in line for level in _ERRORS)
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


def is_tight(limits: Limits, resident_kib: int) -> bool:
    """Whether an allocation may have failed in a process that had so much memory at its peak."""
    used_gib = resident_kib * 1024 / GIB + _NOT_RESIDENT_GIB
    return 0 < limits.ffmpeg_memory_gib < used_gib


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
