"""What a labeled data set offers to an evaluation: files with labels, and its official folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shards_spec.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LabeledFile:
    """A file that the data set's lists name."""

    name: str
    """As the lists name it."""
    labels: tuple[int, ...]
    """Numbers of its classes: one, or several in data sets with several labels to a file."""
    group: str
    """Files of one recording share it; they never are on both sides of an inner fold."""
    path: Path | None
    """None if the file does not exist."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One official division into training and test files."""

    name: str
    train: tuple[int, ...]
    """Rows of `LabeledSet.files`."""
    test: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LabeledSet:
    """A data set as it is on disk."""

    classes: tuple[str, ...]
    files: tuple[LabeledFile, ...]
    folds: tuple[Fold, ...]
    has_many_labels: bool = False
    """Whether a file may have several labels."""
    notes: tuple[str, ...] = ()
    """What a reader of the results has to know about the lists."""

    @property
    def missing(self) -> list[str]:
        """Names of the files that the lists name and that are not there."""
        return [file.name for file in self.files if file.path is None]

    def with_folds(self, names: Sequence[str]) -> LabeledSet:
        """The set with some of its folds; all if `names` is empty. Files of others are left out.

        Raises `InputError` for an unknown fold.
        """
        known = [fold.name for fold in self.folds]
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise InputError(f"folds {', '.join(unknown)} do not exist; there are {known}")
        folds = [fold for fold in self.folds if not names or fold.name in names]
        used = sorted({row for fold in folds for row in (*fold.train, *fold.test)})
        new_row = {row: number for number, row in enumerate(used)}
        return replace(
            self,
            files=tuple(self.files[row] for row in used),
            folds=tuple(
                replace(
                    fold,
                    train=tuple(new_row[row] for row in fold.train),
                    test=tuple(new_row[row] for row in fold.test),
                )
                for fold in folds
            ),
        )

    def require_usable(self, root: Path) -> None:
        """Raise `InputError` unless each fold has files on both sides, and nothing on both."""
        for fold in self.folds:
            if both := set(fold.train) & set(fold.test):
                name = self.files[min(both)].name
                raise InputError(
                    f"{root}: fold {fold.name} has {len(both)} files in training and test, such as "
                    f"{name}; its lists are damaged"
                )
            for side, rows in (("training", fold.train), ("test", fold.test)):
                if not any(self.files[row].path for row in rows):
                    named = f"such as {self.files[rows[0]].name}" if rows else "and none is listed"
                    raise InputError(
                        f"{root}: none of the {len(rows)} {side} files of fold {fold.name} is "
                        f"there, {named}; check --root"
                    )
