"""CPU time and memory of a command with everything that it starts, by a control group of its own.

Ray's processes are daemons that nobody waits for, so the CPU time of children would miss them. The
kernel adds up all processes of a group, also those that have ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: How often memory is sampled.
_SAMPLE_SECONDS = 0.2
#: How long processes may outlive the command.
_LAST_SECONDS = 30.0


@dataclass(frozen=True)
class Usage:
    """What a command used."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    """Largest sum of the private memory of all processes at one time, sampled."""
    output: str
    """Standard output and error."""


def run_accounted(command: Sequence[str]) -> Usage:
    """Run a command to its end. Exits if it fails or if control groups cannot be made."""
    with _group() as group, tempfile.TemporaryFile("w+") as output:

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=enter)
        peak, has_ended = [0], threading.Event()
        sampler = threading.Thread(target=_sample, args=(group, peak, has_ended), daemon=True)
        sampler.start()
        process.wait()
        wall_seconds = time.monotonic() - began
        _wait_until_empty(group)
        has_ended.set()
        sampler.join()
        output.seek(0)
        text = output.read()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {text[-1000:]}")
        return Usage(_cpu_seconds(group), wall_seconds, peak[0], text)


@contextlib.contextmanager
def _group() -> Iterator[Path]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    roots = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    if not roots or not os.access(roots[0], os.W_OK):
        raise SystemExit("needs a writable control group file system (cgroup2): run it as root")
    group = roots[0] / f"reelshards-benchmark-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


def _cpu_seconds(group: Path) -> float:
    words = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(words["usage_usec"]) / 1e6


def _wait_until_empty(group: Path) -> None:
    until = time.monotonic() + _LAST_SECONDS
    while (group / "cgroup.procs").read_text():
        if time.monotonic() > until:
            raise SystemExit(f"processes of {group} do not end")
        time.sleep(0.1)


def _sample(group: Path, peak: list[int], has_ended: threading.Event) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while not has_ended.wait(_SAMPLE_SECONDS):
        total = 0
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError, ValueError):
                fields = Path(f"/proc/{pid}/statm").read_text().split()
                total += page * (int(fields[1]) - int(fields[2]))
        peak[0] = max(peak[0], total)
