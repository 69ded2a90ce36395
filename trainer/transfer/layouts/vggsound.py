"""VGGSound: 309 sounds whose source is seen; one official division.

    ROOT/vggsound.csv    ---g-f_I2yQ,1,people marching,test

The data set is a list of web videos; it has no files of its own. A clip is any file below ROOT that
is called `ID_SECONDS` with the start in six digits or fewer (`---g-f_I2yQ_000001.mp4`), or `ID`.
"""

from __future__ import annotations

from pathlib import Path

from shards_spec.errors import InputError
from trainer.transfer.labeled_files import Fold, LabeledFile, LabeledSet
from trainer.transfer.layouts.file_lists import (
    FilesByStem,
    FileTable,
    first_that_exists,
    numbered,
    read_rows,
    whole_seconds,
)

COLUMNS = ("id", "start", "label", "split")


def read_vggsound(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its list is missing or damaged."""
    path = first_that_exists(root, "vggsound.csv", "data/vggsound.csv")
    listed = list(read_rows(path, COLUMNS, has_header=False))
    number = numbered(row["label"] for row in listed)
    clips = FilesByStem(root)
    table = FileTable()
    sides: dict[str, list[int]] = {"train": [], "test": []}
    for row in listed:
        if row["split"] not in sides:
            raise InputError(f"{path}: {row['id']}: split {row['split']!r} is not train or test")
        video, start = row["id"], whole_seconds(row["start"], path)
        file = LabeledFile(
            name=f"{video}_{start:06d}",
            labels=(number[row["label"]],),
            group=video,
            path=clips.find(f"{video}_{start:06d}", f"{video}_{start}", video),
        )
        sides[row["split"]].append(table.add(file))
    fold = Fold(name="official", train=tuple(sides["train"]), test=tuple(sides["test"]))
    return LabeledSet(classes=tuple(number), files=tuple(table.files), folds=(fold,))
