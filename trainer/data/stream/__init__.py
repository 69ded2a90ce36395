"""Batches in the order of the plan."""

from __future__ import annotations

from trainer.data.stream.batch import Batch
from trainer.data.stream.one_pass import read_all
from trainer.data.stream.open_dataset import open_for_training
from trainer.data.stream.stream import ClipStream

__all__ = ["Batch", "ClipStream", "open_for_training", "read_all"]
