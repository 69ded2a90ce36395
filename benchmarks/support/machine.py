"""What the figures were made on, and what the processes below this one have used of it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections import defaultdict
from pathlib import Path

#: Where result files are written by default.
RESULTS = Path(__file__).parents[1] / "results"


def processor() -> str:
    """The name of the processor, or its architecture where the system gives no name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def tree_cpu_seconds() -> float:
    """User and system time of this process and of all below it, as far as it was waited for."""
    below: dict[int, list[int]] = defaultdict(list)
    spent: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            below[int(fields[1])].append(int(path.parent.name))
            # Own time and that of children that have ended.
            spent[int(path.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    todo, total = [os.getpid()], 0.0
    while todo:
        process = todo.pop()
        total += spent.get(process, 0.0)
        todo += below[process]
    return total
