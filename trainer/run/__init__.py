"""The folder of a run."""

from __future__ import annotations

from trainer.run.atomic_files import atomic_file, write_text, writing_run
from trainer.run.checkpoint import Checkpoint, save_checkpoint
from trainer.run.config_file import (
    binding_settings,
    config_to_json,
    differences,
    resumed_config,
    saved_config,
)
from trainer.run.folder import TrainedRun, describe_run, load_run, open_run
from trainer.run.journal import Journal, say_unreached
from trainer.run.load import Load
from trainer.run.lock import lock_run
from trainer.run.step_result import NonFiniteStepError, StepResult

__all__ = [
    "Checkpoint",
    "Journal",
    "Load",
    "NonFiniteStepError",
    "StepResult",
    "TrainedRun",
    "atomic_file",
    "binding_settings",
    "config_to_json",
    "describe_run",
    "differences",
    "load_run",
    "lock_run",
    "open_run",
    "resumed_config",
    "save_checkpoint",
    "saved_config",
    "say_unreached",
    "write_text",
    "writing_run",
]
