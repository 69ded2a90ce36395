"""How processes begin (imports) and end (with native threads of Ray, output that nobody reads, or a
lost parent), and how much memory they have needed.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

#: Exit code that shells report for a program ended by SIGPIPE.
READER_GONE = 141

_STATUS = Path("/proc/self/status")
#: Bytes per unit of `ru_maxrss`, see getrusage(2).
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run_process(command: Callable[[], int]) -> NoReturn:
    """Call the command of this process and end the process with the exit code that it returns.

    If the reader of stdout has gone, as with `reelshards status D | head`, it ends quietly, with
    `READER_GONE`. A broken pipe to anything else, such as a child process, is raised.
    """
    end_process(_run_while_read(command))


def end_process(code: int) -> NoReturn:
    """End this process with an exit code, without finalizing the interpreter if Ray was used.

    Ray keeps native threads after its shutdown. If one of them still runs while the interpreter and
    the C++ libraries destroy their globals, a process that has done all of its work ends with a
    segmentation fault (exit code 139). So exit handlers run and output is flushed as usual, and
    then the operating system ends all threads at once.
    """
    if "ray" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Inside, Python does not search for garbage; what exists at the end is never searched.

    Imports make many objects and hardly any garbage, so searching is about a tenth of their cost.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_with_parent() -> None:
    """Kill this process as soon as its parent is gone; call it once, when the process begins.

    A pool's workers would otherwise complete what they are doing after their parent was killed, and
    then wait for more without end. Does nothing in a process that has no parent of that kind.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_wait, args=(parent,), name="reelshards-parent", daemon=True
        ).start()


def peak_rss_bytes() -> int:
    """Largest resident size of this process since it started its program.

    On Linux, `ru_maxrss` does not help: it starts at the size of the process that started this one.
    """
    try:
        status = _STATUS.read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def _run_while_read(command: Callable[[], int]) -> int:
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # Buffered output has nowhere to go; without this, Python would report an error on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe or socket whose other end is closed."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _wait(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    # Neither exception handlers nor exit functions may wait for a process that is gone.
    os.kill(os.getpid(), signal.SIGKILL)
