"""UCF101: 101 actions; 3 official folds of the file `ucfTrainTestlist`.

    ROOT/ucfTrainTestlist/classInd.txt       1 ApplyEyeMakeup
    ROOT/ucfTrainTestlist/trainlist01.txt    ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1
    ROOT/ucfTrainTestlist/testlist01.txt     ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi
    ROOT/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi

The clips of a group (`g01`) were cut from one recording.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def read_ucf101(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its lists are missing or damaged."""
    lists = first_that_exists(root, "ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask")
    if not (lists / "classInd.txt").exists():
        lists = first_that_exists(lists, "ucfTrainTestlist")
    videos = first_that_exists(root, "UCF-101", "videos", ".")
    number = numbered(_classes(lists / "classInd.txt"))
    table = FileTable()

    def rows(path: Path) -> tuple[int, ...]:
        return tuple(
            table.add(_file(videos, line.split()[0], number, f"{path}, line {at}"))
            for at, line in read_lines(path)
        )

    folds = tuple(
        Fold(
            name=str(fold),
            train=rows(lists / f"trainlist{fold:02d}.txt"),
            test=rows(lists / f"testlist{fold:02d}.txt"),
        )
        for fold in range(1, NUM_FOLDS + 1)
    )
    return LabeledSet(classes=tuple(number), files=tuple(table.files), folds=folds)


def _classes(path: Path) -> list[str]:
    """Names by `classInd.txt`, whose numbers the test lists do not repeat."""
    return [line.split()[-1] for _, line in read_lines(path)]


def _file(videos: Path, name: str, number: Mapping[str, int], where: str) -> LabeledFile:
    label, _, file = name.partition("/")
    if label not in number or not file:
        raise InputError(f"{where}: {name!r} does not begin with a class of classInd.txt")
    path = videos / name
    # v_ApplyEyeMakeup_g08_c01.avi: what comes before the clip is the group.
    group = Path(file).stem.rpartition("_c")[0] or file
    return LabeledFile(
        name=name, labels=(number[label],), group=group, path=path if path.is_file() else None
    )
