"""Cleans up after a process that is killed before it can do so itself.

A worker that is killed -9 cannot stop its ffmpeg, nor delete its temporary files. So each worker
has a small companion process at the other end of a pipe and reports to it what it starts; when the
pipe closes, the worker is gone, and the companion kills and deletes everything still on its list.
No ffmpeg outlives its worker, on any POSIX system, and nothing has to run between fork and exec.

    worker  --"+4711\\n"-->  companion        ffmpeg 4711 started
            --"-4711\\n"-->                   ffmpeg 4711 was reaped
            --(end of file)-->               the worker died: kill -9 everything listed
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from shards_spec.storage import owned_folder

#: Prefix of the folders that tasks use.
TASK_FOLDERS = "reelshards-task-"

#: Run by the companion. It lives in a session of its own, so that no signal to the worker hits it.
_COMPANION = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listed = set()
for line in sys.stdin.buffer:
    name = line[1:-1]
    listed.add(name) if line[:1] == b"+" else listed.discard(name)
# The processes first: they may still write to the folders.
for name in sorted(listed, reverse=True):
    try:
        shutil.rmtree(name) if name[:1] == b"/" else os.killpg(int(name), signal.SIGKILL)
    except OSError:
        pass
"""

_lock = threading.Lock()
_companion: subprocess.Popen[bytes] | None = None
_owner = 0


def watch(group: int) -> None:
    """Kill the process group when this process dies."""
    _report(f"+{group}\n")


def unwatch(group: int) -> None:
    """The group has ended; from now on its number may belong to another process."""
    _report(f"-{group}\n")


@contextlib.contextmanager
def own_folder() -> Iterator[str]:
    """A folder for temporary files that is deleted even if this process is killed."""
    with owned_folder(TASK_FOLDERS) as folder, watched_folder(folder):
        yield folder


@contextlib.contextmanager
def watched_folder(folder: str) -> Iterator[None]:
    """Delete the folder, with all that it contains, if this process dies inside the block."""
    path = os.path.abspath(folder)
    # A line is a message: such a name would be several.
    if "\n" in path:
        yield
        return
    _report(f"+{path}\n")
    try:
        yield
    finally:
        _report(f"-{path}\n")


def _report(line: str) -> None:
    global _companion, _owner
    with _lock:
        # After a fork the companion is the parent's: it must not get reports about our processes.
        if _companion is None or _owner != os.getpid() or _companion.poll() is not None:
            _companion, _owner = _start(), os.getpid()
            atexit.register(_end, _companion, _owner)
        assert _companion.stdin is not None
        try:
            _companion.stdin.write(os.fsencode(line))
        except BrokenPipeError:
            # The companion was killed: the next report starts another one.
            _companion = None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _COMPANION],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )


def _end(companion: subprocess.Popen[bytes], owner: int) -> None:
    """At a normal exit the companion ends too, with an empty list."""
    if owner == os.getpid() and companion.stdin is not None:
        companion.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            companion.wait(timeout=5)
