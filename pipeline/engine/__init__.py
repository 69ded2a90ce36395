"""Many movies on Ray: scheduling, retries, and what happened."""

from __future__ import annotations

from pipeline.engine import events
from pipeline.engine.engine import DrainedError, Engine
from pipeline.engine.jobs import Assignment
from pipeline.engine.on_ray import run_processes

__all__ = ["Assignment", "DrainedError", "Engine", "events", "run_processes"]
