"""SIGTERM as a wish to stop: spot nodes and Kubernetes send it before they take the machine.

    python -m pipeline.drain [OUT]

asks the runs on this machine to stop, or those that write to OUT, and waits for their end. It is
the hook of a pod or machine that goes: a driver that is a Ray job gets no signal from there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: The runs' own 60 s, and time to say goodbye.
WAIT_SECONDS = 90.0
_VERBS = (b"preprocess", b"retry")


@contextlib.contextmanager
def on_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` on SIGTERM instead of dying; only in the main thread, else nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def runs_here(out: str = "") -> set[int]:
    """Process ids of the runs on this machine by their command lines, where it has /proc.

    Only those to which `out` was given, if it is not empty.
    """
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            # python [options] -m pipeline preprocess ...; in a shell's it is one word.
            starts = [words[i : i + 2] for i in range(1, len(words) - 2) if words[i + 2] in _VERBS]
            if [b"-m", b"pipeline"] in starts and (not out or out.encode() in words):
                found.add(int(path.parent.name))
    return found


def drain_all(out: str = "", seconds: float = WAIT_SECONDS) -> set[int]:
    """Send SIGTERM to these runs and wait for their end; those that are left after `seconds`."""
    for process in runs_here(out):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while (left := runs_here(out)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def main(arguments: Sequence[str]) -> int:
    """Drain the runs that write to the given output, or all of them; 1 if any is left."""
    return 1 if drain_all(arguments[0] if arguments else "") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
