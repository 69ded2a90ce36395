"""The data sets' own folder layouts, lists and official folds: one reader for each.

ucf101           ucfTrainTestlist/trainlist01.txt ..., 3 folds of files in class folders
hmdb51           testTrainMulti_7030_splits/CLASS_test_split1.txt ..., 3 folds by codes 0, 1, 2
esc50            meta/esc50.csv, 5 folds of audio/*.wav
vggsound         vggsound.csv: id, start, label, split
kinetics_sounds  train.csv and validate.csv of Kinetics, limited to 31 classes
audioset         balanced_train_segments.csv and eval_segments.csv, several labels to a file

file_lists       reading their lists, finding their files
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from trainer.transfer.labeled_files import LabeledSet
from trainer.transfer.layouts.audioset import read_audioset
from trainer.transfer.layouts.esc50 import read_esc50
from trainer.transfer.layouts.hmdb51 import read_hmdb51
from trainer.transfer.layouts.kinetics_sounds import read_kinetics_sounds
from trainer.transfer.layouts.ucf101 import read_ucf101
from trainer.transfer.layouts.vggsound import read_vggsound

Task = Literal["ucf101", "hmdb51", "esc50", "kinetics-sounds", "vggsound", "audioset"]

_READERS: Mapping[Task, Callable[[Path], LabeledSet]] = MappingProxyType(
    {
        "ucf101": read_ucf101,
        "hmdb51": read_hmdb51,
        "esc50": read_esc50,
        "kinetics-sounds": read_kinetics_sounds,
        "vggsound": read_vggsound,
        "audioset": read_audioset,
    }
)


def read_layout(task: Task, root: Path) -> LabeledSet:
    """The data set in the folder `root`.

    Raises `InputError` if its lists are missing or damaged, or none of its files are there.
    """
    found = _READERS[task](root)
    found.require_usable(root)
    return found


__all__ = ["Task", "read_layout"]
