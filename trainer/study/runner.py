"""All runs of a study, concurrently in their own processes; then the summary and the page.

A study is a folder. Launching it again keeps completed runs and resumes the others; a folder that
contains a study with other settings, data or labels is refused, naming each difference.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from shards_spec.dataset.reader import open_dataset
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.process import end_with_parent
from trainer.config import TrainConfig
from trainer.console import say
from trainer.data.plan import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.ranks.stop_signal import StopSignal
from trainer.ranks.world import default_device
from trainer.runs.atomic_files import write_text
from trainer.study.account import describe, to_markdown
from trainer.study.cells import (
    CellResult,
    StudyStoppedError,
    Training,
    binding_of,
    cell_config,
    cell_folder,
    load_result,
    run_cell,
)
from trainer.study.config import Cell, StudyConfig, StudyCorpus
from trainer.study.findings.summary import Summary, summarize
from trainer.study.findings.verdict import Verdict, verdict
from trainer.study.page import PAGE_HTML, write_page

STUDY_JSON, STUDY_MD = "study.json", "study.md"

#: How often a study with several processes checks whether it should stop, seconds.
_POLL_SECONDS = 1.0


class StudyError(ReelshardsError):
    """A run of a study failed; the message names it."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of a study."""

    summary: Summary
    verdict: Verdict
    page: Path

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "verdict": dataclasses.asdict(self.verdict),
            "page": str(self.page),
            **self.summary.to_json(),
        }

    def lines(self) -> list[str]:
        """A table for people."""
        return [self.summary.to_markdown(), "", self.verdict.headline, f"page: {self.page}"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of the study."""

    cell: Cell
    corpus: StudyCorpus
    folder: Path
    binding: dict[str, Any]
    """What a result in that folder must have been measured with."""

    def result(self) -> CellResult | None:
        """The result, if the run is complete. Raises `InputError` for one of another study."""
        return load_result(self.folder, self.binding)


def study(
    corpora: list[StudyCorpus],
    run: Path,
    recipe: TrainConfig,
    config: StudyConfig,
    *,
    train: Training,
    finished_only: bool = False,
) -> Outcome:
    """Make all missing runs, then `study.json`, `study.md` and the page.

    `train` trains each run. With `finished_only`, make none, and summarize those that there are.

    Raises:
        InputError: a dataset cannot provide the batches, or the folder contains another study, or
            too few finished runs for a comparison.
        StudyError: a run failed.
        StudyStoppedError: SIGTERM arrived; completed runs are kept.
    """
    begin = time.monotonic()
    fingerprints = check_corpora(corpora, recipe, config)
    jobs = [
        _job(run, corpora, recipe, config, cell, fingerprints) for cell in config.cells(corpora)
    ]
    missing = [job for job in jobs if job.result() is None]
    num_done = len(jobs) - len(missing)
    say(f"{len(jobs)} runs of {config.steps} steps, {num_done} of them already complete")
    for job in _run_all([] if finished_only else missing, recipe, config, train):
        result = job.result()
        assert result is not None
        num_done += 1
        say(f"[{num_done}/{len(jobs)}] {_line(result)}")
    results = [result for job in jobs if (result := job.result())]
    summary = summarize(config, corpora, results)
    if not summary.effects:
        raise InputError(
            f"{run} has no two finished runs that differ in one setting: nothing can be compared"
        )
    findings = verdict(summary, config, corpora)
    about = describe(corpora, recipe, config, results, time.monotonic() - begin)
    values = {**about, "verdict": dataclasses.asdict(findings), **summary.to_json()}
    write_text(run / STUDY_JSON, json.dumps(values, indent=1) + "\n")
    write_text(run / STUDY_MD, to_markdown(findings, summary, about))
    write_page(run, corpora, config, results, summary, findings, about)
    return Outcome(summary=summary, verdict=findings, page=run / PAGE_HTML)


def check_corpora(
    corpora: list[StudyCorpus], recipe: TrainConfig, config: StudyConfig
) -> dict[str, str]:
    """The fingerprint of each corpus by name.

    Raises `InputError` before the first run if a corpus cannot provide some setting's batches.
    """
    if len({corpus.slug for corpus in corpora}) < len(corpora):
        raise InputError(
            f"study: corpora need different names, not {', '.join(c.name for c in corpora)}"
        )
    fingerprints = {}
    for corpus in corpora:
        dataset = open_dataset(corpus.data)
        fingerprints[corpus.name] = dataset.fingerprint
        for setting in config.settings(corpora):
            if setting.corpus == corpus.name:
                policy = cell_config(recipe, config, Cell(setting=setting, seed=0)).policy
                # Raises if not even one batch is possible.
                plan_epoch(ClipIndex.from_dataset(dataset, policy), policy, seed=0, epoch=0)
    return fingerprints


def _job(
    run: Path,
    corpora: list[StudyCorpus],
    recipe: TrainConfig,
    config: StudyConfig,
    cell: Cell,
    fingerprints: dict[str, str],
) -> Job:
    corpus = next(corpus for corpus in corpora if corpus.name == cell.setting.corpus)
    settings = cell_config(recipe, config, cell)
    return Job(
        cell=cell,
        corpus=corpus,
        folder=cell_folder(run, corpus, cell),
        binding=binding_of(settings, fingerprints[corpus.name], corpus),
    )


def _run_all(
    jobs: list[Job], recipe: TrainConfig, config: StudyConfig, train: Training
) -> Iterator[Job]:
    """The jobs as they complete."""
    has_gpu = default_device().type == "cuda"
    num_cores = len(os.sched_getaffinity(0))
    num_workers = min(config.workers or (1 if has_gpu else num_cores), max(1, len(jobs)))
    # One thread per run wastes the least, and gives equal numbers with any number of workers.
    threads = 0 if has_gpu else 1
    with StopSignal() as signal:
        if num_workers > 1:
            yield from _run_in_processes(jobs, recipe, config, train, threads, num_workers, signal)
            return
        for job in jobs:
            if signal.is_set:
                raise StudyStoppedError(_STOPPED)
            run_cell(train, job.folder, job.corpus, job.cell, recipe, config, threads)
            yield job


_STOPPED = "the study was stopped by SIGTERM; run the same command to resume"


def _run_in_processes(
    jobs: list[Job],
    recipe: TrainConfig,
    config: StudyConfig,
    train: Training,
    threads: int,
    num_workers: int,
    signal: StopSignal,
) -> Iterator[Job]:
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=end_with_parent) as pool:
        submit: Callable[..., Future[None]] = pool.submit
        running = {
            submit(run_cell, train, job.folder, job.corpus, job.cell, recipe, config, threads): job
            for job in jobs
        }
        try:
            while running:
                for done in wait(running, _POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                    job = running.pop(done)
                    _require_success(done, job.folder)
                    yield job
                if signal.is_set:
                    raise StudyStoppedError(_STOPPED)
        except BaseException:
            # The other runs keep what they have; none may still be writing when this returns.
            pool.shutdown(wait=False, cancel_futures=True)
            _stop(set(multiprocessing.active_children()) - others)
            raise


def _stop(workers: set[BaseProcess]) -> None:
    """Have every run save a checkpoint and end.

    A worker whose run has ended may take up another one that the pool had already handed out, so
    the signal is repeated until all workers are gone.
    """
    while workers:
        for process in workers:
            process.terminate()
        time.sleep(_POLL_SECONDS)
        workers = {process for process in workers if process.is_alive()}


def _require_success(done: Future[None], folder: Path) -> None:
    try:
        done.result()
    except (InputError, StudyStoppedError):
        raise
    except BrokenProcessPool as error:
        raise StudyError(
            "the process of a run was killed, probably for lack of memory; launch the study again "
            "with fewer --workers: completed runs are kept"
        ) from error
    except Exception as error:  # whatever a run raises stops the study and names the run
        raise StudyError(
            f"the run in {folder} failed: {type(error).__name__}: {error}; see {folder}/train.log; "
            "run the same command to resume the study"
        ) from error


def _line(result: CellResult) -> str:
    setting, values = result.cell.setting, result.evaluation
    kind, name, number = "class probe", "class_probe", "accuracy"
    if values.get("tag_probe"):  # absent in results from before there were tags
        kind, name, number = "seen or heard (mAP)", "tag_probe", "mean_average_precision"
    probes = ", ".join(f"{key} {probe[number]:.2f}" for key, probe in values[name].items())
    return (
        f"{setting.corpus}: {setting.describe()}, seed {result.cell.seed}: {kind} "
        f"{probes or '-'}; {result.seconds:.0f} s"
    )
