"""The folder of a run."""

from __future__ import annotations

from trainer.run.atomic_files import atomic_file, write_text, writing_run
from trainer.run.bucket import RunFolder, is_bucket, local_copy, local_path, open_run_folder
from trainer.run.checkpoint import Checkpoint
from trainer.run.checkpoint_writer import CheckpointWriter
from trainer.run.config_file import (
    binding_settings,
    config_from_json,
    config_to_json,
    differences,
    resumed_config,
    saved_config,
)
from trainer.run.folder import TrainedRun, describe_run, load_run, open_run, restoring
from trainer.run.journal import Journal, StepResult, say_unreached
from trainer.run.load import Load
from trainer.run.lock import lock_run
from trainer.run.metric_log import read_metrics

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "Journal",
    "Load",
    "RunFolder",
    "StepResult",
    "TrainedRun",
    "atomic_file",
    "binding_settings",
    "config_from_json",
    "config_to_json",
    "describe_run",
    "differences",
    "is_bucket",
    "load_run",
    "local_copy",
    "local_path",
    "lock_run",
    "open_run",
    "open_run_folder",
    "read_metrics",
    "restoring",
    "resumed_config",
    "saved_config",
    "say_unreached",
    "write_text",
    "writing_run",
]
