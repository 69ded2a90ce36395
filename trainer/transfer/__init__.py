"""What a run's features are worth on labeled data sets of others, by the protocols of publications.

    labeled_files  files with labels, official folds      layouts    readers of the data sets
    protocol       views, probes, seeds                   views      windows of a file, stored
    features       frozen features of files               frozen     k-NN and linear probe
    finetune       towers trained on the labels           scores     accuracy, average precision
    published      figures of other methods               result     figures, spread, table
    transfer       all of it

Decoding is not done here: the caller of `transfer` passes a function that reads a file.
"""

from __future__ import annotations

from trainer.transfer import labeled_files
from trainer.transfer.layouts import Task, read_layout
from trainer.transfer.protocol import Protocol
from trainer.transfer.transfer import transfer, untrained
from trainer.transfer.views import Windows

__all__ = [
    "Protocol",
    "Task",
    "Windows",
    "labeled_files",
    "read_layout",
    "transfer",
    "untrained",
]
