"""The machine and a server."""

from __future__ import annotations

from benchmarks.support.machine import RESULTS, processor, tree_cpu_seconds
from benchmarks.support.range_server import serving

__all__ = [
    "RESULTS",
    "processor",
    "serving",
    "tree_cpu_seconds",
]
