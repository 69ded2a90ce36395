"""Which checkpoint of a run has seen which movie, and at which steps.

Batches are a pure function of index, policy, seed, epoch and step. So what a run was trained on is
computed again from its settings and the dataset; nothing is recorded during training, except for
when movies were appended to the data.
"""

from __future__ import annotations

from trainer.runs.exposure.command import exposure_command
from trainer.runs.exposure.compute import Exposure, MovieExposure, compute_exposure
from trainer.runs.exposure.stored_run import RunCheckpoint

__all__ = [
    "Exposure",
    "MovieExposure",
    "RunCheckpoint",
    "compute_exposure",
    "exposure_command",
]
