"""Many movies on Ray: scheduling, retries, and what happened."""

from __future__ import annotations

from pipeline.engine import events
from pipeline.engine.engine import Engine
from pipeline.engine.health import DrainedError
from pipeline.engine.jobs import Assignment, View
from pipeline.engine.on_ray import run_processes

__all__ = ["Assignment", "DrainedError", "Engine", "View", "events", "run_processes"]
