"""The size of the pipes from a process."""

from __future__ import annotations

import contextlib
import fcntl

#: Where the system allows it: a few frames, many lines.
_PIPE_BYTES = 1 << 19


def enlarge(*pipes: int) -> None:
    """Enlarge open pipes (Linux): a process and its reader then wake each other less often."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        for pipe in pipes:
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
