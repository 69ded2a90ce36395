"""Many movies on Ray."""

from __future__ import annotations

from pipeline.engine.cluster import start_ray, stop_ray
from pipeline.engine.engine import DrainedError, Engine
from pipeline.engine.jobs import Event, Job, Unit
from pipeline.engine.scheduler import Scheduler, note_failure, retry_wait

__all__ = [
    "DrainedError",
    "Engine",
    "Event",
    "Job",
    "Scheduler",
    "Unit",
    "note_failure",
    "retry_wait",
    "start_ray",
    "stop_ray",
]
