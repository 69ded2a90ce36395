"""Starts processes that read movies."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Sequence

from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.inputs import environment
from pipeline.ffmpeg.memory import limit_memory, with_allocation_limit
from pipeline.limits import Limits

#: Where the system allows it: a few frames, many lines.
_PIPE_BYTES = 1 << 19


def start(command: list[str], limits: Limits, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    """A process with limited memory in a group of its own, which dies with this one."""
    process = subprocess.Popen(
        with_allocation_limit(command, limits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
        pass_fds=pass_fds,
    )
    reaper.watch(process.pid)
    limit_memory(process.pid, limits)
    return process


def enlarge(*pipes: int) -> None:
    """Enlarge open pipes (Linux): a process and its reader then wake each other less often."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        for pipe in pipes:
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
