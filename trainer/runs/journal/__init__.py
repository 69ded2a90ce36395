"""What a run reports: lines of metrics, trackers, load of the machine."""

from __future__ import annotations

from trainer.runs.journal.journal import Journal, StepResult, say_unreached
from trainer.runs.journal.load import Load
from trainer.runs.journal.metric_log import read_metrics

__all__ = [
    "Journal",
    "Load",
    "StepResult",
    "read_metrics",
    "say_unreached",
]
