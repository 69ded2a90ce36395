"""SIGTERM as a request to stop: spot instances and Kubernetes send it before they end a machine.

`python -m pipeline drain [OUT]` asks the runs on this machine to stop, or only those that write to
OUT, and waits for them to end. It is meant as the stop hook of a pod or machine, because a driver
that is a Ray job is not notified when its pod terminates.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: `--drain-seconds` of the runs by default, and time to exit.
WAIT_SECONDS = 90.0
_POLL_SECONDS = 0.2
_COMMANDS = (b"preprocess", b"retry")
#: What precedes the command on a run's command line.
_PROGRAMS = ([b"-m", b"pipeline"], [b"-m", b"reelshards"])


@contextlib.contextmanager
def on_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` on SIGTERM instead of ending; outside the main thread this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def local_runs(out: str = "") -> set[int]:
    """Process ids of the runs on this machine, found by their command lines under /proc.

    Only those that write to `out`, unless it is empty.
    """
    runs = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if _is_run(words) and (not out or out.encode() in words):
                runs.add(int(path.parent.name))
    return runs


def drain_local_runs(out: str = "", seconds: float = WAIT_SECONDS) -> set[int]:
    """Send SIGTERM to these runs and wait; returns those that are still there after `seconds`."""
    for process in local_runs(out):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while (remaining := local_runs(out)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return remaining


def _is_run(words: list[bytes]) -> bool:
    """Whether a command line is `python [options] -m pipeline preprocess ...` or similar."""
    for position, word in enumerate(words):
        if word in _COMMANDS:
            # The console script is `python .../bin/reelshards preprocess ...`; a shell that runs a
            # command has all of it in one word.
            script = Path(os.fsdecode(words[position - 1])).name if position else ""
            if words[max(0, position - 2) : position] in _PROGRAMS or script == "reelshards":
                return True
    return False
