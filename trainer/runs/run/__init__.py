"""The folder of a run."""

from __future__ import annotations

from trainer.runs.run.atomic_files import atomic_file, write_text, writing_run
from trainer.runs.run.bucket import RunFolder, is_bucket, local_copy, local_path, open_run_folder
from trainer.runs.run.checkpoint import Checkpoint, best_step
from trainer.runs.run.checkpoint_writer import CheckpointWriter
from trainer.runs.run.config_file import (
    binding_settings,
    config_from_json,
    config_to_json,
    differences,
    resumed_config,
    saved_config,
)
from trainer.runs.run.folder import (
    TrainedRun,
    describe_run,
    load_run,
    movies_of_run,
    open_run,
    read_description,
    restoring,
)
from trainer.runs.run.growth import DataChange, data_changes, growth_problems, movie_digests
from trainer.runs.run.journal import Journal, StepResult, say_unreached
from trainer.runs.run.load import Load
from trainer.runs.run.lock import lock_run
from trainer.runs.run.metric_log import read_metrics

__all__ = [
    "Checkpoint",
    "CheckpointWriter",
    "DataChange",
    "Journal",
    "Load",
    "RunFolder",
    "StepResult",
    "TrainedRun",
    "atomic_file",
    "best_step",
    "binding_settings",
    "config_from_json",
    "config_to_json",
    "data_changes",
    "describe_run",
    "differences",
    "growth_problems",
    "is_bucket",
    "load_run",
    "local_copy",
    "local_path",
    "lock_run",
    "movie_digests",
    "movies_of_run",
    "open_run",
    "open_run_folder",
    "read_description",
    "read_metrics",
    "restoring",
    "resumed_config",
    "saved_config",
    "say_unreached",
    "write_text",
    "writing_run",
]
