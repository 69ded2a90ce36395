"""SIGTERM as a request to stop: spot instances and Kubernetes send it before they end a machine.

`python -m pipeline drain [OUT]` asks the runs on this machine to stop, or only those that write to
OUT, and waits for them to end. A run with several views writes to each of their datasets, and OUT
may also be the address below which they are. It is meant as the stop hook of a pod or machine,
because a driver that is a Ray job is not notified when its pod terminates.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pipeline.views import parse_views
from shards_spec.errors import InputError

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
        # A run whose options are wrong ends by itself.
        with contextlib.suppress(OSError, InputError):
            words = path.read_bytes().split(b"\0")
            if _is_run(words) and (not out or out.rstrip("/") in _addresses(words)):
                runs.add(int(path.parent.name))
    return runs


def _addresses(words: Sequence[bytes]) -> set[str]:
    """What a run's command line names as its output: all words, and the datasets of its views."""
    # `--out=URI` is two words as well.
    texts = [
        part
        for word in words
        for part in (os.fsdecode(word).split("=", 1) if word[:2] == b"--" else [os.fsdecode(word)])
    ]
    following = list(pairwise(texts))
    views = parse_views([text for flag, text in following if flag == "--view"])
    out = next((text for flag, text in following if flag == "--out"), "").rstrip("/")
    named = {str(view.get("out", f"{out}/{name}")) for name, view in views.items()}
    return {text.rstrip("/") for text in (*texts, *named)}


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
