"""Measures what a task costs its worker process."""

from __future__ import annotations

import resource
import sys
import time

#: Bytes per unit of `ru_maxrss`.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class CostMeter:
    """CPU time since its creation, of this process and of all children that have ended."""

    def __init__(self) -> None:
        self._before = _cpu_seconds()

    @property
    def cpu_seconds(self) -> float:
        """Since the meter was created."""
        return _cpu_seconds() - self._before

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident size of this process since it started."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _cpu_seconds() -> float:
    # The process's own clock is exact: a short movie is written in less than a tick of the others.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
