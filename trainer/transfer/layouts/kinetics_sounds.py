"""Kinetics-Sounds: the classes of Kinetics-400 that are seen and heard; one division.

    ROOT/train.csv       label,youtube_id,time_start,time_end,split
    ROOT/validate.csv    likewise (or val.csv); its clips are the test set
    ROOT/train/playing piano/ID_000010_000020.mp4

A clip is any file below ROOT that is called `ID_START_END` with six digits each, or `ID`. A file
`ROOT/classes.txt`, one class per line, replaces the list below: publications differ a little.
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
    read_lines,
    read_rows,
    whole_seconds,
)

COLUMNS = ("label", "youtube_id", "time_start", "time_end")

#: Classes of Kinetics-400 in the selection of 31, as most publications have it.
CLASSES = (
    *("blowing nose", "blowing out candles", "bowling", "chopping wood", "dribbling basketball"),
    *("laughing", "mowing lawn", "playing accordion", "playing bagpipes", "playing bass guitar"),
    *("playing clarinet", "playing drums", "playing guitar", "playing harmonica"),
    *("playing keyboard", "playing organ", "playing piano", "playing saxophone"),
    *("playing trombone", "playing trumpet", "playing violin", "playing xylophone"),
    *("ripping paper", "shoveling snow", "shuffling cards", "singing", "stomping grapes"),
    *("tap dancing", "tapping guitar", "tapping pen", "tickling"),
)


def read_kinetics_sounds(root: Path) -> LabeledSet:
    """The data set in `root`. Raises `InputError` if its lists are missing or damaged."""
    own = root / "classes.txt"
    number = numbered([line for _, line in read_lines(own)] if own.exists() else CLASSES)
    clips = FilesByStem(root)
    table = FileTable()

    def rows(path: Path) -> tuple[int, ...]:
        listed = read_rows(path, COLUMNS, has_header=True)
        return tuple(
            table.add(_file(row, number[row["label"]], clips, path))
            for row in listed
            if row["label"] in number
        )

    train = rows(first_that_exists(root, "train.csv", "annotations/train.csv"))
    names = ("validate.csv", "val.csv")
    test_list = first_that_exists(root, *names, *(f"annotations/{name}" for name in names))
    fold = Fold(name="official", train=train, test=rows(test_list))
    if not fold.train:
        raise InputError(f"{root}: train.csv lists none of {len(number)} classes; see classes.txt")
    return LabeledSet(
        classes=tuple(number),
        files=tuple(table.files),
        folds=(fold,),
        notes=(f"{len(number)} classes; tested on {test_list.name}",),
    )


def _file(row: dict[str, str], number: int, clips: FilesByStem, path: Path) -> LabeledFile:
    video = row["youtube_id"]
    start, end = (whole_seconds(row[name], path) for name in ("time_start", "time_end"))
    name = f"{video}_{start:06d}_{end:06d}"
    return LabeledFile(name=name, labels=(number,), group=video, path=clips.find(name, video))
