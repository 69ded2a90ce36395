"""AudioSet, balanced training set (20K) and evaluation set; several labels to a clip.

    ROOT/balanced_train_segments.csv    --PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
    ROOT/eval_segments.csv              likewise
    ROOT/class_labels_indices.csv       index,mid,display_name

A clip is any file below ROOT that is called `ID_START_END` or `ID_START`, in milliseconds or
seconds, or `ID`; some tools put a Y before the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shards_spec.errors import InputError
from trainer.transfer.labeled_files import Fold, LabeledFile, LabeledSet
from trainer.transfer.layouts.file_lists import (
    FilesByStem,
    FileTable,
    first_that_exists,
    read_rows,
    whole_seconds,
)

COLUMNS = ("id", "start", "end", "labels")


def read_audioset(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its lists are missing or damaged."""
    names = list(
        read_rows(
            first_that_exists(root, "class_labels_indices.csv"),
            ("index", "mid", "display_name"),
            has_header=True,
        )
    )
    number = {row["mid"]: at for at, row in enumerate(names)}
    clips = FilesByStem(root)
    table = FileTable()

    def rows(name: str) -> tuple[int, ...]:
        path = first_that_exists(root, name)
        listed = read_rows(path, COLUMNS, has_header=False)
        return tuple(table.add(_file(row, number, clips, path)) for row in listed)

    fold = Fold(
        name="official", train=rows("balanced_train_segments.csv"), test=rows("eval_segments.csv")
    )
    return LabeledSet(
        classes=tuple(row["display_name"] for row in names),
        files=tuple(table.files),
        folds=(fold,),
        has_many_labels=True,
        notes=("trained on the balanced set (AudioSet-20K)",),
    )


def _file(
    row: dict[str, str], number: Mapping[str, int], clips: FilesByStem, path: Path
) -> LabeledFile:
    video = row["id"]
    start, end = (whole_seconds(row[name], path) for name in ("start", "end"))
    labels = [label.strip() for label in row["labels"].split(",") if label.strip()]
    unknown = [label for label in labels if label not in number]
    if unknown or not labels:
        raise InputError(f"{path}: {video}: labels {labels} are not in class_labels_indices.csv")
    stems = (
        *(f"{video}_{1000 * start}_{1000 * end}", f"{video}_{start}_{end}"),
        *(f"{video}_{start:06d}_{end:06d}", f"{video}_{1000 * start}", f"{video}_{start}", video),
    )
    return LabeledFile(
        name=f"{video}_{start}_{end}",
        labels=tuple(sorted({number[label] for label in labels})),
        group=video,
        path=clips.find(*stems, *(f"Y{stem}" for stem in stems)),
    )
