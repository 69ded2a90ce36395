"""The machine and a server."""

from __future__ import annotations

from benchmarks.support.machine import processor, tree_cpu_seconds
from benchmarks.support.range_server import serving

__all__ = [
    "processor",
    "serving",
    "tree_cpu_seconds",
]
