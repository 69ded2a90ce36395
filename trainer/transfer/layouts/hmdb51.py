"""HMDB51: 51 actions; 3 official folds of 70 training and 30 test clips per class.

    ROOT/testTrainMulti_7030_splits/brush_hair_test_split1.txt    NAME.avi 1
    ROOT/hmdb51_org/brush_hair/NAME.avi

A code follows each name: 1 is training, 2 is test, 0 is neither. A name ends with six attributes,
as in `April_09_brush_hair_u_nm_np1_ba_goo_0.avi`; what comes before them is the recording.
"""

from __future__ import annotations

import re
from pathlib import Path

from shards_spec.errors import InputError
from trainer.transfer.labeled_files import Fold, LabeledFile, LabeledSet
from trainer.transfer.layouts.file_lists import (
    FileTable,
    first_that_exists,
    numbered,
    read_lines,
)

NUM_FOLDS = 3
TRAIN, TEST, NEITHER = "1", "2", "0"

_LIST = re.compile(r"(.+)_test_split(\d+)\.txt")
#: Body parts, camera motion, number of people, viewpoint, quality, number of the clip.
_ATTRIBUTES = re.compile(r"_[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+$")


def read_hmdb51(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its lists are missing or damaged."""
    lists = first_that_exists(
        root, "testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits"
    )
    videos = first_that_exists(root, "hmdb51_org", "videos", ".")
    found = sorted(filter(None, (_LIST.fullmatch(path.name) for path in lists.iterdir())), key=str)
    number = numbered(match[1] for match in found)
    if not number:
        raise InputError(f"{lists} has no CLASS_test_split1.txt")
    table = FileTable()
    folds = []
    for fold in range(1, NUM_FOLDS + 1):
        sides: dict[str, list[int]] = {TRAIN: [], TEST: [], NEITHER: []}
        for label in number:
            path = lists / f"{label}_test_split{fold}.txt"
            for at, line in read_lines(path):
                name, _, code = line.rpartition(" ")
                if code not in sides:
                    raise InputError(f"{path}, line {at}: the code is {code!r}, not 0, 1 or 2")
                if code != NEITHER:
                    file = _file(videos, label, name.strip(), number[label])
                    sides[code].append(table.add(file))
        folds.append(Fold(name=str(fold), train=tuple(sides[TRAIN]), test=tuple(sides[TEST])))
    return LabeledSet(classes=tuple(number), files=tuple(table.files), folds=tuple(folds))


def _file(videos: Path, label: str, file: str, number: int) -> LabeledFile:
    path = videos / label / file
    return LabeledFile(
        name=f"{label}/{file}",
        labels=(number,),
        group=_ATTRIBUTES.sub("", Path(file).stem),
        path=path if path.is_file() else None,
    )
