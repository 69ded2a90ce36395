"""All runs of a study, side by side in processes of their own; then the summary and the page.

A study is a folder. Launching it again keeps finished runs and goes on with the others; a folder
that holds a study with other settings is refused by the runs themselves, each difference named.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.cli import version
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.reader import open_dataset
from trainer.config import TrainConfig
from trainer.console import say
from trainer.plan import ClipIndex, plan_epoch
from trainer.ranks import default_device
from trainer.run import config_to_json, write_text
from trainer.study.cells import CellResult, cell_folder, load_result, run_cell
from trainer.study.config import Cell, StudyConfig, StudyCorpus, cell_config
from trainer.study.page import PAGE_HTML, write_page
from trainer.study.summary import Summary, summarise
from trainer.study.verdict import Verdict, verdict

STUDY_JSON, STUDY_MD = "study.json", "study.md"


class StudyError(ReelshardsError):
    """A run of a study failed; the message names it."""


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
        """For people."""
        return [self.summary.to_markdown(), "", self.verdict.headline, f"page: {self.page}"]


def to_markdown(found: Verdict, summary: Summary, about: dict[str, Any]) -> str:
    """The findings as text, with all figures."""
    return "\n".join(
        [
            "# Within-movie negatives: what they change",
            "",
            f"{about['date']}, {about['hardware']}, torch {about['versions']['torch']}; "
            f"{about['num_runs']} runs of {about['study']['steps']} steps, "
            f"{about['cpu_seconds'] / 3600:.2f} CPU hours. Pictures are in `{PAGE_HTML}`.",
            "",
            f"**{found.headline}**",
            "",
            *(f"- {point}" for point in found.points),
            "",
            *(
                line
                for name, lines in found.effects.items()
                for line in (
                    f"{name.capitalize()}:",
                    "",
                    *(f"- {one}" for one in lines or ["none"]),
                    "",
                )
            ),
            "How far this carries:",
            "",
            *(f"- {caveat}" for caveat in found.caveats),
            "",
            summary.to_markdown(),
            "",
        ]
    )


def study(
    corpora: list[StudyCorpus], run: Path, recipe: TrainConfig, config: StudyConfig
) -> Outcome:
    """Make all runs that are not there yet, then `study.json`, `study.md` and the page.

    Raises `InputError` when a dataset cannot serve the batches, `StudyError` when a run failed.
    """
    begin = time.monotonic()
    check_corpora(corpora, recipe, config)
    by_name = {corpus.name: corpus for corpus in corpora}
    cells = list(config.cells(corpora))
    folders = {cell: cell_folder(run, by_name[cell.setting.corpus], cell) for cell in cells}
    missing = [cell for cell in cells if load_result(folders[cell]) is None]
    say(f"{len(cells)} runs of {config.steps} steps, {len(cells) - len(missing)} of them are there")
    jobs = [(folders[cell], by_name[cell.setting.corpus], cell) for cell in missing]
    for cell in _run_all(jobs, recipe, config):
        result = load_result(folders[cell])
        assert result is not None
        number = sum(load_result(folder) is not None for folder in folders.values())
        say(f"[{number}/{len(cells)}] {_line(result)}")
    results = [result for cell in cells if (result := load_result(folders[cell]))]
    summary = summarise(config, corpora, results)
    found = verdict(summary, config, corpora)
    about = describe(corpora, recipe, config, results, time.monotonic() - begin)
    values = {**about, "verdict": dataclasses.asdict(found), **summary.to_json()}
    write_text(run / STUDY_JSON, json.dumps(values, indent=1) + "\n")
    write_text(run / STUDY_MD, to_markdown(found, summary, about))
    write_page(run, corpora, config, results, summary, found, about)
    return Outcome(summary=summary, verdict=found, page=run / PAGE_HTML)


def check_corpora(corpora: list[StudyCorpus], recipe: TrainConfig, config: StudyConfig) -> None:
    """Raise `InputError` before the first run when a corpus cannot serve some setting."""
    if len({corpus.slug for corpus in corpora}) < len(corpora):
        raise InputError(f"study: corpora need different names: {[w.name for w in corpora]}")
    for corpus in corpora:
        dataset = open_dataset(corpus.data)
        for setting in config.settings(corpora):
            if setting.corpus == corpus.name:
                policy = cell_config(recipe, config, Cell(setting=setting, seed=0)).policy
                # Raises when not even one batch can be made.
                plan_epoch(ClipIndex.from_dataset(dataset, policy), policy, seed=0, epoch=0)


def describe(
    corpora: list[StudyCorpus],
    recipe: TrainConfig,
    config: StudyConfig,
    results: list[CellResult],
    seconds: float,
) -> dict[str, Any]:
    """What a reader of the figures must know: what was run, where, for how long."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "hardware": f"{os.cpu_count()} CPU cores, {_processor()}, device {_device_name()}",
        "versions": {
            "reelshards": version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "study": dataclasses.asdict(config),
        "corpora": [{"name": corpus.name, "data": corpus.data} for corpus in corpora],
        "recipe": config_to_json(recipe),
        "num_runs": len(results),
        "launch_seconds": round(seconds, 1),
        "run_seconds": round(sum(result.seconds for result in results), 1),
        "cpu_seconds": round(sum(result.cpu_seconds for result in results), 1),
    }


def _run_all(
    jobs: list[tuple[Path, StudyCorpus, Cell]], recipe: TrainConfig, config: StudyConfig
) -> Iterator[Cell]:
    """The cells as they are finished."""
    has_gpu = default_device().type == "cuda"
    num_cores = len(os.sched_getaffinity(0))
    num_workers = min(config.workers or (1 if has_gpu else num_cores), max(1, len(jobs)))
    # One thread a run wastes the least, and keeps its figures the same beside any number of others.
    threads = 0 if has_gpu else 1
    if num_workers == 1:
        for folder, corpus, cell in jobs:
            run_cell(folder, corpus, cell, recipe, config, threads)
            yield cell
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        submit: Callable[..., Future[None]] = pool.submit
        under_way = {
            submit(run_cell, folder, corpus, cell, recipe, config, threads): (folder, cell)
            for folder, corpus, cell in jobs
        }
        try:
            while under_way:
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    folder, cell = under_way.pop(done)
                    _result_of(done, folder)
                    yield cell
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _result_of(done: Future[None], folder: Path) -> None:
    try:
        done.result()
    except InputError:
        raise
    except BrokenProcessPool as error:
        raise StudyError(
            "a run's process was killed, probably for lack of memory; launch the study again with "
            "fewer --workers: finished runs are kept"
        ) from error
    except Exception as error:  # whatever a run raises stops the study, with the run's name
        raise StudyError(
            f"the run in {folder} failed: {type(error).__name__}: {error}; see {folder}/train.log; "
            "launched again, the study goes on from its last checkpoint"
        ) from error


def _line(result: CellResult) -> str:
    setting, values = result.cell.setting, result.evaluation
    probes = ", ".join(
        f"{name} {probe['accuracy']:.2f}" for name, probe in values["class_probe"].items()
    )
    return (
        f"{setting.corpus}: {setting.describe()}, seed {result.cell.seed}: class probe "
        f"{probes or '-'}; {result.seconds:.0f} s"
    )


def _device_name() -> str:
    device = default_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
