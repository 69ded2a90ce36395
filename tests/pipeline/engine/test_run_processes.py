"""Processes of a run end with its driver, and the death of Ray's processes is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine.on_ray import run_processes
from pipeline.engine.on_ray.run_processes import ClusterLostError, ClusterWatch
from shards_spec.cli import ExitCode

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")

_DRIVER = """
import subprocess, sys
from pipeline.engine.on_ray import run_processes
with run_processes.tied_to_driver():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"],
                             start_new_session=True, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def companions_of(driver: int) -> list[int]:
    """The companion processes of a driver."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"REELSHARDS_DRIVER={driver}-".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("with_companion", [True, False])
def test_what_a_killed_driver_started_is_ended(with_companion: bool) -> None:
    """By its companion, or if that was killed as well, by the next run."""
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        assert is_running(child)
        assert run_processes.end_orphans() == 0, "their driver is alive"
        if not with_companion:
            for pid in companions_of(driver.pid):
                os.kill(pid, signal.SIGKILL)
        driver.kill()
    if not with_companion:
        assert run_processes.end_orphans() == 1
    wait_for(lambda: not is_running(child))


def test_a_driver_that_waits_for_ray_without_end_is_killed() -> None:
    """As in native code that keeps the interpreter's lock, so that no thread of it can act."""
    code = (
        "import ctypes\nfrom pipeline.config import RunConfig\n"
        "from pipeline.engine.on_ray import run_processes\n"
        "run_processes._START_SECONDS = 2.0\n"
        "run_processes.cluster.start_ray = lambda config: ctypes.PyDLL(None).sleep(600)\n"
        "with run_processes.running_ray(RunConfig()):\n    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert "error: Ray did not start within 2 s; run the same command again" in done.stderr


def test_nothing_is_ended_when_the_driver_ends_well() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        child = int(driver.communicate("")[0])
    assert driver.returncode == 0
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


class Node:
    """The part of Ray's node that the watch looks at."""

    gcs_address = ""

    def __init__(self, *dead: str) -> None:
        self.dead = dead

    def dead_processes(self) -> list[tuple[str, None]]:
        return [(name, None) for name in self.dead]


@pytest.mark.parametrize(
    ("dead", "what"),
    [
        (("gcs_server",), "Ray's control store died"),
        (("raylet",), "Ray's raylet died"),
        (("gcs_server", "raylet", "log_monitor"), "Ray's control store and raylet died"),
    ],
)
def test_dead_processes_of_ray_end_the_run_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch, dead: tuple[str, ...], what: str
) -> None:
    node = Node("log_monitor")
    monkeypatch.setattr(run_processes, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(run_processes.ray_worker, "_global_node", node)
    with ClusterWatch() as watch:
        time.sleep(0.05)
        watch.check()
        node.dead = dead
        wait_for(lambda: watch.lost)
        with pytest.raises(ClusterLostError, match=what):
            watch.check()
    assert ClusterLostError.exit_code == ExitCode.UNUSABLE


def test_a_main_thread_that_waits_inside_of_ray_does_not_decide_the_code() -> None:
    code = """
import time
from pipeline.engine.on_ray import run_processes
class Node:
    gcs_address = ""
    def dead_processes(self): return [("gcs_server", None)]
run_processes._WATCH_SECONDS, run_processes._STUCK_SECONDS = 0.01, 0.1
run_processes.ray_worker._global_node = Node()
with run_processes.ClusterWatch():
    time.sleep(3600)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.UNUSABLE
    assert done.stderr.startswith("error: Ray's control store died")
