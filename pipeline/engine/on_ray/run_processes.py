"""The processes of a run: those of a local one end with their driver, and Ray's are watched.

Ray's processes and all that they start inherit an environment variable that names the driver. A
companion process holds the other end of a pipe; when the driver is gone, it kills whatever still
has that variable. The next run on the machine does the same for runs whose companion was killed,
too. This needs `/proc`, so it is done on Linux only.

When Ray's control store or its raylet on this machine dies, Ray ends the driver from native code,
with exit code 1, or leaves it waiting. `ClusterWatch` notices it first.

When one of Ray's first workers dies while it starts, Ray 2.60 leaves the driver waiting in native
code, without end and with the interpreter's lock. Only the companion can end such a driver.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, cast

import ray
from ray._private import worker as ray_worker

from pipeline.config import RunConfig
from pipeline.engine.on_ray import cluster
from shards_spec.cli import ExitCode
from shards_spec.errors import ReelshardsError

#: How often Ray's processes are checked; how long the control store may refuse connections;
#: how long the main thread may then take to notice it before the process is ended. Seconds.
_WATCH_SECONDS, _UNREACHABLE_SECONDS, _STUCK_SECONDS = 0.5, 20.0, 15.0

#: How long the start of Ray may take, with all of its attempts, before the driver is killed.
_START_SECONDS = 600.0

#: `<pid>-<start time in clock ticks since the boot>` of the driver.
_VARIABLE = "REELSHARDS_DRIVER"

#: Kills the driver if Ray does not start in time. When the driver has gone, kills all processes
#: with the variable's value; repeatedly, because they may start others.
_COMPANION = """
import os, select, signal, sys, time
entry, seconds = sys.argv[1].encode(), float(sys.argv[2])
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
in_time = select.select([sys.stdin], [], [], seconds)[0]
if not in_time:
    message = f"Ray did not start within {seconds:g} s; run the same command again to resume"
    print(f"error: {message}", file=sys.stderr, flush=True)
    os.kill(int(sys.argv[1].partition("=")[2].partition("-")[0]), signal.SIGKILL)
# Who reads the driver's messages does not wait for this process.
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
if in_time and sys.stdin.read().endswith("done"):
    sys.exit()
for pause in (0.5, 0.5, 1, 2, 5, 10, 20):
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != os.getpid():
                with open(f"/proc/{name}/environ", "rb") as file:
                    if entry in file.read().split(b"\\0"):
                        os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
    time.sleep(pause)
"""


class ClusterLostError(ReelshardsError):
    """Ray's control store or a raylet of this machine has died, and the run with it."""

    exit_code: ClassVar[int] = ExitCode.UNUSABLE


@contextlib.contextmanager
def running_ray(config: RunConfig) -> Iterator[ClusterWatch]:
    """Ray for a run, started or connected to; see `cluster.start_ray`."""
    with contextlib.ExitStack() as stack:
        companion = None if config.address else stack.enter_context(tied_to_driver())
        is_own = cluster.start_ray(config)
        if companion is not None and companion.stdin is not None:
            companion.stdin.write(b"started, ")
            companion.stdin.flush()
        watch = stack.enter_context(ClusterWatch())
        try:
            yield watch
        finally:
            if is_own and watch.lost:
                _abandon_ray()
            elif is_own:
                cluster.stop_ray()


class ClusterWatch:
    """A thread that looks whether Ray's processes are alive; a context manager."""

    def __init__(self) -> None:
        self.lost = ""
        """What has died; empty while everything is alive."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ClusterWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def check(self) -> None:
        """Raise `ClusterLostError` if something has died."""
        if self.lost:
            raise ClusterLostError(self.lost)

    def _watch(self) -> None:
        last_reachable = time.monotonic()
        while not self._end.wait(_WATCH_SECONDS):
            dead = _dead_processes()
            if not dead and _is_reachable():
                last_reachable = time.monotonic()
            elif dead or time.monotonic() - last_reachable > _UNREACHABLE_SECONDS:
                what = " and ".join(dead) or "control store"
                self.lost = (
                    f"Ray's {what} died or cannot be reached; everything committed remains. Run "
                    "the same command again to resume"
                )
                break
        if self.lost and not self._end.wait(_STUCK_SECONDS):
            # The main thread waits inside of Ray, which would end this process with another code.
            sys.stderr.write(f"{ClusterLostError.prefix}{self.lost}\n")
            sys.stderr.flush()
            os._exit(ClusterLostError.exit_code)


def _dead_processes() -> list[str]:
    """Names of the processes that this driver started for Ray and that have died."""
    node: Any = ray_worker._global_node
    if node is None:
        return []
    names = {"gcs_server": "control store", "raylet": "raylet"}
    return sorted({names[kind] for kind, _ in node.dead_processes() if kind in names})


def _is_reachable() -> bool:
    """Whether the control store accepts connections; True if its address is not known."""
    node: Any = ray_worker._global_node
    address = str(getattr(node, "gcs_address", "") or "")
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _abandon_ray() -> None:
    """End Ray's processes without asking them; a shutdown would wait for those that are dead."""
    node: Any = ray_worker._global_node
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    atexit.unregister(cast(Any, ray).shutdown)


@contextlib.contextmanager
def tied_to_driver() -> Iterator[subprocess.Popen[bytes] | None]:
    """Processes that are started inside end with this one; they may outlive the context.

    Yields the companion, which must get some bytes within `_START_SECONDS`; None without `/proc`.
    """
    value = f"{os.getpid()}-{_start_time(os.getpid())}"
    if not Path("/proc/self/environ").exists():
        yield None
        return
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = value
    companion = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _COMPANION, f"{_VARIABLE}={value}", str(_START_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={},
    )
    try:
        yield companion
    finally:
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            companion.communicate(b"done", timeout=10)
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def end_orphans() -> int:
    """Kill processes of this user whose driver no longer exists; returns how many."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError, ValueError):
            driver = _driver_in(path.read_bytes())
            if driver is None or path.stat().st_uid != os.getuid():
                continue
            pid, _, started = driver.partition("-")
            if _start_time(int(pid)) != started and _is_same_space(path.parent):
                os.kill(int(path.parent.name), signal.SIGKILL)
                count += 1
    return count


def _driver_in(environ: bytes) -> str | None:
    for entry in environ.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == _VARIABLE.encode():
            return value.decode("ascii", "replace")
    return None


def _start_time(pid: int) -> str:
    """Start of a process in clock ticks since the boot; empty if there is no such process."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if fields[0] not in "ZX":
            return fields[19]
    return ""


def _is_same_space(process: Path) -> bool:
    """Whether that process is in the same PID namespace as this one."""
    return os.readlink(process / "ns" / "pid") == os.readlink("/proc/self/ns/pid")
