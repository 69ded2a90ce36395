"""Which tasks a run can do, and mteb's evaluation of it on them."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelshards.board.mteb_encoder import MtebEncoder
from shards_spec.cli import version
from shards_spec.errors import InputError

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

#: What the encoders take.
_TAKEN = {"audio", "video"}


@dataclass(frozen=True, kw_only=True)
class Score:
    """A task's main score on one split and subset."""

    task: str
    type: str
    split: str
    subset: str
    metric: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A task without a score, for example because its data cannot be downloaded."""

    task: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BoardResult:
    """What an evaluation found."""

    model: str
    revision: str
    """Hash of the weights and of all settings of the encoder."""
    settings: dict[str, Any]
    scores: list[Score]
    failures: list[Failure]
    details: list[dict[str, Any]]
    """All that mteb reports, for each task."""
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A table for people."""
        width = max((len(score.task) for score in self.scores), default=0)
        lines = [
            f"{score.task:{width}}  {score.type}, {score.split}, {score.subset}: "
            f"{score.metric} {score.score:.4f}"
            for score in self.scores
        ]
        return lines + [f"failed: {failure.task}: {failure.reason}" for failure in self.failures]


def needs_text_or_images(task: AbsTask) -> list[str]:
    """What a task needs that the encoders do not take."""
    return sorted(set(task.metadata.modalities) - _TAKEN)


def possible_tasks() -> list[AbsTask]:
    """All tasks of mteb on audio and video that need nothing else, by name."""
    import mteb

    # Benchmarks keep tasks of which there is a newer version.
    tasks = mteb.get_tasks(modalities=["audio", "video"], exclude_superseded=False)
    return sorted(
        (task for task in tasks if not needs_text_or_images(task)), key=lambda t: t.metadata.name
    )


def tasks_named(names: Sequence[str], benchmark: str = "") -> list[AbsTask]:
    """Tasks by their names in mteb, `file.py:Class` of own ones, or those of a benchmark.

    Of a benchmark, those that need text or images are left out.

    Raises `InputError` if there is no such task or benchmark, or a named task needs text or images.
    """
    import mteb

    tasks: list[AbsTask] = []
    if benchmark:
        try:
            found = list(mteb.get_benchmark(benchmark).tasks)
        except (KeyError, ValueError) as error:
            raise InputError(f"--benchmark {benchmark}: {_message(error)}") from error
        tasks += [task for task in found if not needs_text_or_images(task)]
        if not tasks:
            raise InputError(f"--benchmark {benchmark}: all of its tasks need text or images")
    for name in names:
        task = _own_task(name) if ":" in name else _task_of_mteb(name)
        if needed := needs_text_or_images(task):
            raise InputError(f"--tasks {name} needs {' and '.join(needed)}: see --list")
        tasks.append(task)
    return tasks


def evaluate_tasks(
    encoder: MtebEncoder, tasks: Sequence[AbsTask], results: Path | None, batch_size: int
) -> BoardResult:
    """Evaluate on all tasks. One that fails is listed in the result, and the others are done.

    Args:
        encoder: the run.
        tasks: as from `tasks_named`.
        results: folder of mteb's results, of which those that are complete are not computed again.
        batch_size: items of a batch of mteb; without influence on the scores.
    """
    import mteb

    cache = None if results is None else mteb.ResultCache(results)
    with warnings.catch_warnings():
        # One for every classifier that never predicts some class.
        warnings.filterwarnings("ignore", module="sklearn")
        found = mteb.evaluate(
            encoder,
            tasks,
            co2_tracker=False,
            raise_error=False,
            encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
            cache=cache,
            show_progress_bar=False,
        )
    meta = encoder.mteb_model_meta
    by_name = {task.metadata.name: task.metadata for task in tasks}
    return BoardResult(
        model=encoder.name,
        revision=str(meta.revision),
        settings={
            "max_windows": encoder.max_windows,
            "clip_frames": encoder.clips.recipe.num_frames,
            "fps": encoder.clips.recipe.fps,
            "sample_rate_hz": encoder.clips.recipe.sample_rate_hz,
            "crop_pixels": encoder.clips.crop_pixels,
        },
        scores=[
            score
            for result in found.task_results
            for score in _scores(result, by_name[result.task_name])
        ],
        failures=[
            Failure(task=error.task_name, reason=error.exception.strip() or "no reason given")
            for error in found.exceptions or ()
        ],
        details=[result.model_dump(mode="json") for result in found.task_results],
        versions={name: version_of(name) for name in ("mteb", "torch", "scikit-learn")}
        | {"reelshards": version()},
    )


def _scores(result: Any, metadata: Any) -> list[Score]:
    return [
        Score(
            task=result.task_name,
            type=metadata.type,
            split=split,
            subset=one["hf_subset"],
            metric=metadata.main_score,
            score=float(one["main_score"]),
        )
        for split, subsets in result.scores.items()
        for one in subsets
    ]


def _task_of_mteb(name: str) -> AbsTask:
    import mteb

    try:
        return mteb.get_task(name)
    except (KeyError, ValueError) as error:
        raise InputError(f"--tasks {name}: {_message(error)}") from error


def _own_task(name: str) -> AbsTask:
    """The task of `folder/file.py:Class`."""
    from mteb.abstasks import AbsTask

    path, _, class_name = name.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"reelshards_task_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--tasks {name}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        task = getattr(module, class_name)()
    except Exception as error:
        raise InputError(f"--tasks {name}: {error!r}") from error
    if not isinstance(task, AbsTask):
        raise InputError(f"--tasks {name}: {class_name} is not a task of mteb")
    return task


def _message(error: Exception) -> str:
    return str(error.args[0] if error.args else error).partition("\n")[0]
