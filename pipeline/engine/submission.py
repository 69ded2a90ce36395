"""Submits the units of a run to Ray as tasks, with the resources that each one needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.audio.clips import num_audio_parts
from pipeline.config import RunConfig
from pipeline.engine import tasks
from pipeline.engine.jobs import Job, Unit, View
from pipeline.engine.on_ray import cluster
from pipeline.limits import GIB
from pipeline.movie.rows import Cost
from pipeline.movie.spool import AUDIO_PART
from pipeline.movie.steps import to_decode_again
from pipeline.sources.access import is_by_range
from pipeline.sources.identity import is_local


class Submission:
    """Turns units into running Ray tasks."""

    def __init__(self, views: Sequence[View], config: RunConfig) -> None:
        self._views = views
        self._config = config

    def submit(self, units: Sequence[Unit], cost: Cost) -> Any:
        """Start the task of a unit and its twins; returns the Ray reference to its `TaskResult`.

        `cost` is what the movie of the first one took so far.
        """
        unit = units[0]
        job = unit.job
        by_range = is_by_range(
            job.movie, self._config.sources, self._config.stage_gib, cluster.num_nodes()
        )
        memory_factor = max(unit.memory_factor for unit in units)
        settings = tasks.TaskOptions(self._config, memory_factor, by_range)
        options = self._ray_options(unit, memory_factor)
        if unit.kind == "prepare":
            task = cast(Any, tasks.prepare).options(**options)
            movies = [unit.job.movie for unit in units]
            recipes = [self._views[unit.job.view].recipe for unit in units]
            return task.remote(movies, job.fingerprint, recipes, settings)
        if unit.kind == "segment":
            task = cast(Any, tasks.segment).options(num_returns=len(units) + 1, **options)
            plans = [unit.job.plan_ref for unit in units]
            ref, *payloads = task.remote([unit.segment for unit in units], settings, *plans)
            for unit, payload in zip(units, payloads, strict=True):
                unit.payload = [payload]
            return ref
        if unit.kind == "audio":
            assert job.plan is not None
            num_returns = num_audio_parts(job.plan) + 1
            task = cast(Any, tasks.audio).options(num_returns=num_returns, **options)
            *unit.payload, ref = task.remote(job.plan_ref, results_of(job, "segment"), settings)
            return ref
        return self._submit_write(job, cost, options)

    def release_source(self, job: Job) -> None:
        """Delete the copies of a finished movie's source from the nodes that worked on it."""
        is_in_use = any(not other.finished for other in job.siblings)
        if is_local(job.movie) or is_in_use:
            return
        nodes = job.nodes.union(*(other.nodes for other in job.siblings))
        for node in nodes & cluster.live_nodes():
            where = NodeAffinitySchedulingStrategy(node, soft=False)
            task = cast(Any, tasks.delete_staged_copy).options(scheduling_strategy=where)
            task.remote(job.movie)

    def _ray_options(self, unit: Unit, memory_factor: int) -> dict[str, Any]:
        # Ray's metrics list the names of tasks, on a port that every user of the machine can read.
        name = f"{unit.job.movie.movie_id} {unit.name}" if self._config.address else unit.kind
        options: dict[str, Any] = {"name": name}
        memory = int(self._config.task_memory_gib * GIB * memory_factor)
        if memory:
            options["memory"] = min(memory, cluster.largest_memory())
        return options

    def _submit_write(self, job: Job, cost: Cost, options: dict[str, Any]) -> Any:
        units = {unit.part: unit for unit in job.units if unit.part is not None}
        return (
            cast(Any, tasks.write)
            .options(**options)
            .remote(
                job.plan_ref,
                self._views[job.view].storage,
                cost,
                units[AUDIO_PART].result,
                results_of(job, "segment"),
                {part: unit.payload for part, unit in units.items()},
                job.first_shard,
            )
        )


def put_plan(job: Job) -> None:
    """Share the job's plan with its tasks through the object store."""
    job.plan_ref = ray.put(job.plan)


def decode_whole(job: Job) -> list[Unit]:
    """Segments that have to be decoded again, now open; see `steps.to_decode_again`."""
    found = [result for result in results_of(job, "segment") if result is not None]
    if job.plan is None or not found:
        return []
    plan, again = to_decode_again(job.plan, found)
    if again and plan is not job.plan:
        job.plan = plan
        put_plan(job)
    units = [unit for unit in job.units if unit.segment in again]
    for unit in units:
        unit.result, unit.attempts = None, 0
    job.num_open += len(units)
    return units


def results_of(job: Job, kind: str) -> list[Any]:
    """The results of the job's units of one kind, in movie order."""
    return [unit.result for unit in job.units if unit.kind == kind]
