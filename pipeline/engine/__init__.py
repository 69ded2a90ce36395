"""Many movies on Ray: scheduling, retries, and what happened."""

from __future__ import annotations

from pipeline.engine import events
from pipeline.engine.engine import DrainedError, Engine
from pipeline.engine.jobs import Assignment, Job, Unit
from pipeline.engine.on_ray import run_processes
from pipeline.engine.on_ray.cluster import start_ray, stop_ray
from pipeline.engine.scheduler import Scheduler

__all__ = [
    "Assignment",
    "DrainedError",
    "Engine",
    "Job",
    "Scheduler",
    "Unit",
    "events",
    "run_processes",
    "start_ray",
    "stop_ray",
]
