"""One run from corpus to index: find the work, do it, summarize it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.config import RunConfig
from pipeline.engine import Engine, View, run_processes
from pipeline.engine.events import Event
from pipeline.ffmpeg.binaries import ffmpeg_version, ffprobe_path
from pipeline.lease import Lease, hold_lease
from pipeline.run.dataset_run import DatasetRun
from pipeline.run.drain import on_sigterm
from pipeline.run.event_log import EventLog
from pipeline.run.leftovers import Leftovers, delete_temporary_folders
from pipeline.run.metrics import Metrics
from pipeline.run.progress import OnProgress
from pipeline.run.rows_update import update_rows
from pipeline.run.summary import Summary
from pipeline.run.work_list import (
    WorkList,
    plan_retry,
    plan_run,
    require_one_recipe,
)
from pipeline.sources.corpus import find_corpus, movie_of_row
from pipeline.views import ViewTarget, require_compatible
from shards_spec.dataset.index import read_committed_movies
from shards_spec.dataset.reader import read_info, recipe_of
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage


def preprocess(
    corpus: str,
    out: str,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Turn a corpus into a dataset at `out`; movies that are already there are kept.

    Raises:
        InputError: the corpus or the output cannot be used, or another run works on the output.
        StorageError: the output cannot be read or written.
        DrainedError: SIGTERM arrived before the end.
    """
    (summary,) = preprocess_views(corpus, [ViewTarget("", out, recipe)], config, on_progress)
    return summary


def preprocess_views(
    corpus: str,
    views: Sequence[ViewTarget],
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> list[Summary]:
    """Turn a corpus into one dataset for each view, each the same as in a run of its own.

    A movie is decoded once for all views that lack it. Raises the errors of `preprocess`, and
    `InputError` for views that cannot be made together.
    """
    is_fast = config.decode == "fast"
    views = [
        replace(view, recipe=replace(view.recipe, fast_decode=view.recipe.fast_decode or is_fast))
        for view in views
    ]
    require_compatible(views)
    if len(views) > 1 and config.hwaccel != "none":
        raise InputError(
            f"--hwaccel {config.hwaccel} decodes for one dataset only, not for {len(views)} views; "
            "use a run for each view, or leave out --hwaccel"
        )
    found = find_corpus(corpus, follow_links=config.follow_links, group_depth=config.group_depth)
    tasks = []
    with contextlib.ExitStack() as leases:
        for view in views:
            storage = Storage(view.out, create=True)
            held_lease = leases.enter_context(hold_lease(storage))
            storage = held_lease.fenced(storage.with_patience(config.store_patience_seconds))
            work = plan_run(found.movies, storage, view.recipe, config)
            work = replace(work, keep=update_rows(storage, work.movies, work.keep))
            tasks.append(_Task(View(storage, view.recipe, view.name), held_lease, work))
        summaries = _process(corpus, tasks, config, on_progress)
        return [replace(summary, passed_over=found.passed_over) for summary in summaries]


def retry(
    storage: Storage,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Process the failed and quarantined movies of a dataset again, with its recipe.

    Raises the errors of `preprocess`, and `InputError` if there is no dataset.
    """
    recipe = recipe_of(read_info(storage))
    if config.decode == "fast" and not recipe.fast_decode:
        raise InputError(
            f"{storage.uri} was not made with `--decode fast`, and `retry` keeps its recipe; use "
            "`preprocess` with that option to process all of its movies again"
        )
    with hold_lease(storage) as held_lease:
        storage = held_lease.fenced(storage.with_patience(config.store_patience_seconds))
        rows = read_committed_movies(storage).values()
        require_one_recipe(rows, recipe, storage)
        movies = [
            movie_of_row(row, config.follow_links)
            for row in rows
            if row.status in ("failed", "quarantined")
        ]
        task = _Task(View(storage, recipe), held_lease, plan_retry(rows, movies, storage))
        (summary,) = _process(f"retry of {storage.uri}", [task], config, on_progress)
        return summary


@dataclass(frozen=True)
class _Task:
    """What a run has to do for one dataset."""

    view: View
    lease: Lease
    work: WorkList


def _process(
    corpus: str, tasks: Sequence[_Task], config: RunConfig, on_progress: OnProgress
) -> list[Summary]:
    """Process the work lists and write the indexes, during the run as well."""
    version = ffmpeg_version()
    ffprobe_path()
    leftovers = Leftovers(folders=delete_temporary_folders(), processes=run_processes.end_orphans())
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(EventLog(config.log_json))
        runs = []
        for task in tasks:
            run = DatasetRun(
                task.view, config, task.lease, task.work, corpus=corpus, ffmpeg_version=version
            )
            stack.callback(run.close)
            runs.append(run)
        try:
            for view, event in _events(runs, config, on_progress):
                log.write(event, runs[view].view.name)
        except BaseException as error:
            for run in runs:
                run.end_early(error)
            raise
        # What concerns the machine is reported once.
        return [
            run.finish(leftovers if run is runs[0] else Leftovers(), log.num_failed) for run in runs
        ]


def _events(
    runs: Sequence[DatasetRun], config: RunConfig, on_progress: OnProgress
) -> Iterator[tuple[int, Event]]:
    """Process the movies of all datasets; yields each event once it was followed."""
    shown = max(runs, key=lambda run: len(run.work.process))
    on_progress(shown.progress, None)
    assignments = [item for number, run in enumerate(runs) for item in run.assignments(number)]
    if not assignments:
        return
    with run_processes.running_ray(config) as watch, contextlib.ExitStack() as stack:
        engine = Engine([run.view for run in runs], config)
        metrics = Metrics()
        stack.enter_context(on_sigterm(engine.drain))
        for run in runs:
            stack.callback(run.stop_updates)
        for found in engine.run(assignments):
            watch.check()
            view, event = found or (-1, None)
            metrics.note(event, engine.num_queued)
            for number, run in enumerate(runs):
                run.note(event if number == view else None)
            on_progress((runs[view] if event else shown).progress, event)
            if event is not None:
                yield view, event
