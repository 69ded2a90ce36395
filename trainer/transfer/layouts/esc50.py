"""ESC-50: 50 environmental sounds of 5 seconds; 5 official folds, each the test set once.

    ROOT/meta/esc50.csv    filename,fold,target,category,esc10,src_file,take
    ROOT/audio/1-100032-A-0.wav

The sounds of a recording (`src_file`) are in one fold; official folds stay whole in inner ones.
"""

from __future__ import annotations

from pathlib import Path

from trainer.transfer.labeled_files import Fold, LabeledFile, LabeledSet
from trainer.transfer.layouts.file_lists import (
    FileTable,
    first_that_exists,
    numbered,
    read_rows,
)

COLUMNS = ("filename", "fold", "category")


def read_esc50(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its list is missing or damaged."""
    listed = list(read_rows(first_that_exists(root, "meta/esc50.csv"), COLUMNS, has_header=True))
    number = numbered(row["category"] for row in listed)
    table = FileTable()
    by_fold: dict[str, list[int]] = {}
    for row in listed:
        path = root / "audio" / row["filename"]
        file = LabeledFile(
            name=row["filename"],
            labels=(number[row["category"]],),
            group=f"fold {row['fold']}",
            path=path if path.is_file() else None,
        )
        by_fold.setdefault(row["fold"], []).append(table.add(file))
    folds = tuple(
        Fold(
            name=fold,
            train=tuple(row for other, rows in by_fold.items() if other != fold for row in rows),
            test=tuple(by_fold[fold]),
        )
        for fold in sorted(by_fold)
    )
    return LabeledSet(classes=tuple(number), files=tuple(table.files), folds=folds)
