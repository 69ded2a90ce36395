"""The front door: everything that is meant to be imported or typed, in one place.

    import reelshards as rs

    rs.preprocess("movies/", out="shards/", fps=5)
    dataset = rs.open_dataset("shards/")
    for batch in rs.stream(dataset, movies_per_batch=8, clips_per_movie=8, seed=0):
        ...

Importing this package loads none of torch, ray and librosa: a name's module is imported when the
name is first used. Most of what it offers is in `pipeline`, `trainer` and
`shards_spec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reelshards.packages import attribute

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.run.summary import Summary
    from reelshards.api import (
        evaluate,
        load,
        open_dataset,
        plan_report,
        stream,
        train,
        validate,
    )
    from reelshards.encoder import Encoder
    from reelshards.preprocessing import preprocess
    from shards_spec import errors
    from shards_spec.dataset.reader import Clip, Dataset
    from shards_spec.dataset.validation import Report
    from shards_spec.errors import (
        FormatError,
        InputError,
        PolicyError,
        ReelshardsError,
        StorageError,
    )
    from shards_spec.recipe import Recipe
    from trainer.config import TrainConfig
    from trainer.data.loader import StreamConfig
    from trainer.data.plan import BatchPolicy
    from trainer.data.stream import Batch, ClipStream
    from trainer.plan_report import PlanReport
    from trainer.runs.evaluate.result import Evaluation
    from trainer.train import TrainOutcome

    __version__: str

#: Module of each public name.
_MODULES = {
    **dict.fromkeys(
        (
            "evaluate",
            "load",
            "open_dataset",
            "plan_report",
            "stream",
            "train",
            "validate",
        ),
        "reelshards.api",
    ),
    **dict.fromkeys(
        (
            "FormatError",
            "InputError",
            "PolicyError",
            "ReelshardsError",
            "StorageError",
        ),
        "shards_spec.errors",
    ),
    "Batch": "trainer.data.stream",
    "BatchPolicy": "trainer.data.plan",
    "Clip": "shards_spec.dataset.reader",
    "ClipStream": "trainer.data.stream",
    "Dataset": "shards_spec.dataset.reader",
    "Encoder": "reelshards.encoder",
    "Evaluation": "trainer.runs.evaluate.result",
    "PlanReport": "trainer.plan_report",
    "Recipe": "shards_spec.recipe",
    "Report": "shards_spec.dataset.validation",
    "RunConfig": "pipeline.config",
    "StreamConfig": "trainer.data.loader",
    "Summary": "pipeline.run.summary",
    "TrainConfig": "trainer.config",
    "TrainOutcome": "trainer.train",
    "preprocess": "reelshards.preprocessing",
}

__all__ = [
    "Batch",
    "BatchPolicy",
    "Clip",
    "ClipStream",
    "Dataset",
    "Encoder",
    "Evaluation",
    "FormatError",
    "InputError",
    "PlanReport",
    "PolicyError",
    "Recipe",
    "ReelshardsError",
    "Report",
    "RunConfig",
    "StorageError",
    "StreamConfig",
    "Summary",
    "TrainConfig",
    "TrainOutcome",
    "__version__",
    "errors",
    "evaluate",
    "load",
    "open_dataset",
    "plan_report",
    "preprocess",
    "stream",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = attribute("shards_spec.cli", "version")()
    elif name == "errors":
        value = attribute("shards_spec.errors")
    elif name in _MODULES:
        value = attribute(_MODULES[name], name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
