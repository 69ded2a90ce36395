"""The mteb tasks that a run can be evaluated on, and the evaluation itself."""

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
from shards_spec.errors import InputError
from shards_spec.version import version

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

#: Modalities that the encoders accept.
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
    """The results of an evaluation."""

    model: str
    revision: str
    """Hash of the weights and of all settings of the encoder."""
    settings: dict[str, Any]
    scores: list[Score]
    failures: list[Failure]
    details: list[dict[str, Any]]
    """Everything that mteb reports about each task."""
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
    """The modalities of a task that the encoders do not accept, sorted."""
    return sorted(set(task.metadata.modalities) - _TAKEN)


def possible_tasks() -> list[AbsTask]:
    """All of mteb's tasks that need only audio and video, sorted by name."""
    import mteb

    # Benchmarks still contain tasks that have been superseded.
    tasks = mteb.get_tasks(modalities=["audio", "video"], exclude_superseded=False)
    return sorted(
        (task for task in tasks if not needs_text_or_images(task)), key=lambda t: t.metadata.name
    )


def tasks_named(names: Sequence[str], benchmark: str = "") -> list[AbsTask]:
    """The tasks of a benchmark, without those that need text or images, and tasks by name.

    A name is that of one of mteb's tasks, or `file.py:Class` for a task of your own.

    Raises `InputError` for unknown names, and for a named task that needs text or images.
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
    """Evaluate on all tasks. A task that fails is listed in the result; the others still run.

    Args:
        encoder: the run.
        tasks: as from `tasks_named`.
        results: folder of mteb's results; tasks that are complete in it are not computed again.
        batch_size: items per batch; does not affect the scores.
    """
    import mteb

    cache = None if results is None else mteb.ResultCache(results)
    with warnings.catch_warnings():
        # One warning for every classifier that never predicts one of the classes.
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
        settings=_settings(encoder),
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


def _settings(encoder: MtebEncoder) -> dict[str, Any]:
    recipe = encoder.clips.recipe
    return {
        "max_windows": encoder.max_windows,
        "clip_frames": recipe.num_frames,
        "fps": recipe.fps,
        "sample_rate_hz": recipe.sample_rate_hz,
        "crop_pixels": encoder.clips.crop_pixels,
    }


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
    """The task that `folder/file.py:Class` names."""
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
