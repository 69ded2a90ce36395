"""Many movies on Ray: scheduling, retries, and what happened.

What drives a run is imported on first use: workers come through this door to `tasks`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.engine import events

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine
    from pipeline.engine.health import DrainedError
    from pipeline.engine.jobs import Assignment, View
    from pipeline.engine.on_ray import run_processes

_MODULES = {"Assignment": "jobs", "DrainedError": "health", "Engine": "engine", "View": "jobs"}

__all__ = ["Assignment", "DrainedError", "Engine", "View", "events", "run_processes"]


def __getattr__(name: str) -> Any:
    if name == "run_processes":
        return import_module("pipeline.engine.on_ray.run_processes")
    if name not in _MODULES:
        raise AttributeError(f"module 'pipeline.engine' has no attribute {name!r}")
    return getattr(import_module(f"pipeline.engine.{_MODULES[name]}"), name)
