"""The project's question as a controlled experiment: do within-movie negatives change what a model
learns, where, and by how much?

    config   which runs are compared          cells     one run: train, evaluate, measure
    runner   all runs, concurrently           summary   means, intervals, effects
    verdict  the findings in words            plots     figures
    examples retrieved film strips            page      one HTML file with all of it

`study` is imported on first use, so that the settings alone need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.study.config import StudyConfig, StudyCorpus

if TYPE_CHECKING:
    from trainer.study.runner import study

__all__ = ["StudyConfig", "StudyCorpus", "study"]


def __getattr__(name: str) -> Any:
    if name != "study":
        raise AttributeError(f"module 'trainer.study' has no attribute {name!r}")
    from trainer.study.runner import study

    return study
