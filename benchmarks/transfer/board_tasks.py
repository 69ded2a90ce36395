"""The sounds and clips of `benchmarks/transfer/media.py` as tasks of mteb.

    BOARD_ROOT=data/transfer reelshards board RUN --tasks \\
      benchmarks/transfer/board_tasks.py:EverydaySounds

Classification is set up as that of MAEB's ESC-50 (5-fold cross-validation of logistic regression on
8 samples of each class), clustering and retrieval as mteb does by default.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, Value, Video
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

ROOT = Path(os.environ.get("BOARD_ROOT", "data/transfer"))

_FILE = {"bytes": Value("binary"), "path": Value("string")}
_LETTERS = {"a": "audio", "v": "video"}


def described(name: str, kind: str, category: str, metric: str, description: str) -> TaskMetadata:
    """Metadata of a task that is not in mteb's catalog."""
    letters = [letter for letter in "va" if letter in category.replace("2c", "")]
    return TaskMetadata(
        name=name,
        dataset={"path": "local/benchmarks-transfer-media", "revision": "1"},
        description=description,
        type=kind,
        category=category,
        modalities=[_LETTERS[letter] for letter in letters],
        eval_splits=["test"],
        eval_langs=["zxx-Zxxx"],
        main_score=metric,
    )


def table(columns: dict[str, list[Any]]) -> Dataset:
    """Columns `audio` and `video` are paths; labels become numbers, as mteb expects."""
    plain = {name: values for name, values in columns.items() if name not in _LETTERS.values()}
    files = {name: columns[name] for name in columns if name not in plain}
    features = {name: Value("string") for name in plain} | dict.fromkeys(files, _FILE)
    if "label" in plain:
        features["label"] = ClassLabel(names=sorted(set(plain["label"])))
    for name, paths in files.items():
        plain[name] = [{"bytes": None, "path": str(path)} for path in paths]
    made = Dataset.from_dict(plain, features=Features(features))
    for name in files:
        made = made.cast_column(name, Audio() if name == "audio" else Video())
    return made


def sounds(name: str) -> dict[str, list[Any]]:
    """The items of a folder with ESC-50's layout."""
    with (ROOT / name / "meta" / "esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    paths = [ROOT / name / "audio" / row["filename"] for row in rows]
    return {"label": [row["category"] for row in rows], "audio": paths}


def animals() -> dict[str, list[Any]]:
    """Pictures and voices of the same files."""
    with (ROOT / "animals" / "vggsound.csv").open() as file:
        rows = list(csv.reader(file))
    paths = [
        ROOT / "animals" / "video" / f"{name}_{int(start):06d}.mp4" for name, start, *_ in rows
    ]
    return {"label": [row[2] for row in rows], "video": paths, "audio": paths}


def minutes() -> dict[str, list[Any]]:
    """Clips of Big Buck Bunny, by minute."""
    paths = sorted((ROOT / "minutes" / "UCF-101").glob("*/*"))
    return {"label": [path.parent.name for path in paths], "video": paths}


class _Classification(AbsTaskClassification):
    train_split = "test"
    is_cross_validation = True

    def load_data(self, **_: Any) -> None:
        self.dataset = DatasetDict(test=table(self.rows()))
        self.data_loaded = True

    def rows(self) -> dict[str, list[Any]]:
        raise NotImplementedError


class EverydaySounds(_Classification):
    metadata = described(
        *("EverydaySounds", "AudioClassification", "a2c", "accuracy"),
        "114 sounds of scratch in 8 classes.",
    )
    input_column_name = "audio"

    def rows(self) -> dict[str, list[Any]]:
        return sounds("everyday")


class Samples(_Classification):
    metadata = described(
        *("Samples", "AudioClassification", "a2c", "accuracy"),
        "150 sounds of sonic-pi in 10 classes.",
    )
    input_column_name = "audio"

    def rows(self) -> dict[str, list[Any]]:
        return sounds("samples")


class Animals(_Classification):
    metadata = described(
        *("Animals", "VideoClassification", "va2c", "accuracy"),
        "Pictures and voices of 58 birds and mammals of tuxpaint.",
    )
    input_column_name = ("video", "audio")

    def rows(self) -> dict[str, list[Any]]:
        return animals()


class Minutes(_Classification):
    metadata = described(
        *("Minutes", "VideoClassification", "v2c", "accuracy"),
        "90 clips of Big Buck Bunny in 9 minutes.",
    )
    input_column_name = "video"

    def rows(self) -> dict[str, list[Any]]:
        return minutes()


class EverydayClustering(AbsTaskClustering):
    metadata = described(
        *("EverydayClustering", "AudioClustering", "a2a", "v_measure"),
        "114 sounds of scratch in 8 classes.",
    )
    input_column_name = "audio"
    label_column_name = "label"
    max_fraction_of_documents_to_embed = None

    def load_data(self, **_: Any) -> None:
        self.dataset = DatasetDict(test=table(sounds("everyday")))
        self.data_loaded = True


class AnimalVoices(AbsTaskRetrieval):
    metadata = described(
        *("AnimalVoices", "Any2AnyRetrieval", "v2a", "ndcg_at_10"),
        "The voice that belongs to a picture, of 58 animals of tuxpaint.",
    )

    def load_data(self, **_: Any) -> None:
        columns = animals()
        ids = [str(number) for number in range(len(columns["video"]))]
        split = {
            "queries": table({"id": ids, "video": columns["video"]}),
            "corpus": table({"id": ids, "audio": columns["audio"]}),
            "relevant_docs": {name: {name: 1} for name in ids},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True
