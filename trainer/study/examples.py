"""Retrieved clips for a given audio: the videos that a run ranks first, as film strips.

Queries are taken evenly from the held-out movies; the videos of all held-out clips are searched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.dataset.inspection import encode_png
from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.data.stream import read_all
from trainer.runs.scoring.embeddings import EmbeddedClips

NUM_QUERIES = 6
NUM_RESULTS = 4
STRIP_FRAMES = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """The audio of one clip, and the clips whose videos ranked first."""

    query: int
    """Row in the clip index."""
    results: list[int]
    """Rows in the clip index, best first."""
    movie: dict[int, str]
    """Movie id of each of these rows."""
    label: dict[int, str]
    """Class of each labeled row."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Example:
        """Inverse of `to_json`; the keys of JSON objects are strings."""
        movie, label = ({int(k): v for k, v in values[n].items()} for n in ("movie", "label"))
        return Example(query=values["query"], results=values["results"], movie=movie, label=label)


def examples(
    embedded: EmbeddedClips, dataset: Dataset, labels: Sequence[str | None] | None
) -> list[Example]:
    """The same queries for every run on a corpus: the choice does not depend on embeddings."""
    movies = sorted(set(embedded.movie.tolist()))
    num_queries = min(NUM_QUERIES, len(movies))
    chosen = [movies[number * len(movies) // num_queries] for number in range(num_queries)]
    names = dataset.clips["movie_id"]
    results = []
    for number, movie in enumerate(chosen):
        own = (embedded.movie == movie).nonzero().flatten()
        # Not always the first clip, which is often a title sequence.
        query = int(own[(number + 1) * len(own) // (num_queries + 1)])
        scores_N = embedded.video @ embedded.audio[query]
        best = scores_N.argsort(descending=True, stable=True)[:NUM_RESULTS].tolist()
        rows = {index: int(embedded.clip[index]) for index in (query, *best)}
        results.append(
            Example(
                query=rows[query],
                results=[rows[index] for index in best],
                movie={row: names[row].as_py() for row in rows.values()},
                label={rows[i]: str(labels[i]) for i in rows if labels and labels[i] is not None},
            )
        )
    return results


def strips(dataset: Dataset, rows: Sequence[int], config: TrainConfig) -> dict[int, bytes]:
    """A PNG per clip: frames next to each other, as the model sees them before resizing."""
    stream = dataclasses.replace(config.stream, pin_memory=False)
    images: dict[int, bytes] = {}
    for batch in read_all(dataset, list(rows), stream):
        for row, frames in zip(batch.clip.tolist(), batch.frames, strict=True):
            picks = torch.linspace(0, len(frames) - 1, STRIP_FRAMES).round().long()
            images[row] = encode_png(_side_by_side(frames[picks].numpy()))
    return images


def write_strips(folder: Path, images: dict[int, bytes]) -> None:
    """One file per clip, named by row."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, png in images.items():
        (folder / f"{row}.png").write_bytes(png)


def _side_by_side(frames_TSSC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.concatenate(list(frames_TSSC), axis=1))
