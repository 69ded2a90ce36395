"""Tasks of mteb on local data: two classes of short movies that differ in color and pitch.

Importing this module needs mteb.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, Value, Video
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.task_metadata import TaskMetadata

#: Color and pitch, Hz, of each class.
CLASSES = (((200, 40, 40), 300), ((40, 40, 200), 1500))
RATE = 8_000


def audio_bytes(label: int, number: int) -> bytes:
    """A WAV file of 0.2 to 2.9 s; every other one has two channels."""
    random = np.random.default_rng(number)
    hertz = CLASSES[label][1] * random.uniform(0.9, 1.1)
    times = np.arange(round(RATE * random.uniform(0.2, 2.9))) / RATE
    tone = 0.5 * np.sin(2 * np.pi * hertz * times) + 0.02 * random.normal(size=len(times))
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone] * (1 + number % 2), axis=1), RATE, format="WAV")
    return file.getvalue()


def video_file(path: Path, label: int, number: int) -> Path:
    """A movie of 1 to 19 frames at 10 frames per second, of odd sizes, without audio."""
    random = np.random.default_rng(number)
    width, height = 2 * int(random.integers(20, 40)), 2 * int(random.integers(20, 40))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(1 + 6 * (number % 4)):
            noise = random.normal(0, 12, (height, width, 3))
            pixels = np.clip(noise + CLASSES[label][0], 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def described(name: str, kind: str, category: str, metric: str) -> TaskMetadata:
    """Metadata of a task that is in no catalog."""
    letters = set(category.split("2")[0] + category.split("2")[1]) - {"c"}
    return TaskMetadata(
        name=name,
        dataset={"path": "local/made-by-the-test", "revision": "1"},
        description="Two classes of movies that differ in color and pitch.",
        type=kind,
        category=category,
        modalities=sorted({"a": "audio", "v": "video"}[letter] for letter in letters),
        eval_splits=["test"],
        eval_langs=["zxx-Zxxx"],
        main_score=metric,
    )


def rows(folder: Path, count: int, *, video: bool, audio: bool, first: int = 0) -> Dataset:
    """Items of alternating classes, as bytes in the table (audio) and as paths (video)."""
    columns: dict[str, list[Any]] = {"label": [number % 2 for number in range(count)]}
    numbers = range(first, first + count)
    if audio:
        columns["audio"] = [{"bytes": audio_bytes(n % 2, n), "path": f"{n}.wav"} for n in numbers]
    if video:
        columns["video"] = [_path(video_file(folder / f"{n}.mp4", n % 2, n)) for n in numbers]
    return of_media(columns)


def of_media(columns: dict[str, list[Any]]) -> Dataset:
    """Columns of files as those of downloaded data, of which mteb's evaluator gets decoders.

    The type is set afterwards: `datasets` would need torchcodec to put files in such a column.
    """
    made = Dataset.from_dict(columns, features=_plain_features(columns))
    for name in columns:
        if name == "audio":
            made = made.cast_column(name, Audio())
        elif name not in ("label", "labels", "id"):
            made = made.cast_column(name, Video())
    return made


def _plain_features(columns: dict[str, list[Any]]) -> Features:
    file = {"bytes": Value("binary"), "path": Value("string")}
    plain = {"label": ClassLabel(names=["red and low", "blue and high"]), "labels": Value("int64")}
    return Features({name: plain.get(name, file) for name in columns})


def _path(path: Path) -> dict[str, Any]:
    return {"bytes": None, "path": str(path)}


def classification(folder: Path, category: str) -> AbsTaskClassification:
    """Of audio (`a2c`), video (`v2c`) or both (`va2c`)."""
    video, audio = "v" in category, "a" in category
    kind = "VideoClassification" if video else "AudioClassification"

    class Task(AbsTaskClassification):
        metadata = described(f"Local{category.upper()}", kind, category, "accuracy")
        input_column_name = ("video", "audio") if video and audio else kind[:5].lower()
        n_experiments = 2
        samples_per_label = 4

    task = Task()
    task.dataset = DatasetDict(
        train=rows(folder, 10, video=video, audio=audio),
        test=rows(folder, 8, video=video, audio=audio, first=10),
    )
    task.data_loaded = True
    return task


def clustering(folder: Path) -> AbsTaskClustering:
    """Of audio."""

    class Task(AbsTaskClustering):
        metadata = described("LocalClustering", "AudioClustering", "a2a", "v_measure")
        input_column_name = "audio"
        label_column_name = "label"
        max_fraction_of_documents_to_embed = None
        n_clusters = 3

    task = Task()
    task.dataset = DatasetDict(test=rows(folder, 14, video=False, audio=True))
    task.data_loaded = True
    return task


def pairs(folder: Path) -> AbsTaskPairClassification:
    """Whether two videos are of the same class."""

    class Task(AbsTaskPairClassification):
        metadata = described("LocalPairs", "VideoPairClassification", "v2v", "max_ap")
        input1_column_name = "first"
        input2_column_name = "second"
        label_column_name = "labels"

    files = [_path(video_file(folder / f"{n}.mp4", n % 2, n)) for n in range(16)]
    second = [files[n] for n in (8, 9, 10, 11, 13, 12, 15, 14)]
    columns: dict[str, list[Any]] = {
        "first": files[:8],
        "second": second,
        "labels": [1] * 4 + [0] * 4,
    }
    task = Task()
    task.dataset = DatasetDict(test=of_media(columns))
    task.data_loaded = True
    return task


def retrieval(folder: Path, category: str) -> AbsTaskRetrieval:
    """Find the audio of a video (`v2a`), or audio by audio (`a2a`): item n belongs to item n."""
    sides = {"v": "video", "a": "audio"}
    query, document = (sides[letter] for letter in category.split("2"))

    class Task(AbsTaskRetrieval):
        metadata = described(f"Local{category}", "Any2AnyRetrieval", category, "ndcg_at_10")

    def side(column: str, prefix: str) -> Dataset:
        made = rows(folder, 4, video=column == "video", audio=column == "audio")
        made = made.remove_columns("label")
        return made.add_column("id", [f"{prefix}{number}" for number in range(4)])

    task = Task()
    split = {
        "queries": side(query, "q"),
        "corpus": side(document, "d"),
        "relevant_docs": {f"q{number}": {f"d{number}": 1} for number in range(4)},
        "top_ranked": None,
    }
    task.dataset = {"default": {"test": split}}
    task.data_loaded = True
    return task
