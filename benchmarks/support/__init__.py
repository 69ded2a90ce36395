"""The machine and a server."""

from __future__ import annotations

from benchmarks.support.accounting import run_accounted
from benchmarks.support.machine import RESULTS, processor, tree_cpu_seconds
from benchmarks.support.range_server import serving
from benchmarks.support.stage_names import STAGES

__all__ = [
    "RESULTS",
    "STAGES",
    "processor",
    "run_accounted",
    "serving",
    "tree_cpu_seconds",
]
