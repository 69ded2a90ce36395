"""What is found for a sound: the pictures that a run puts first, as film strips.

Sounds are taken evenly from the held-out movies; the pictures of all held-out clips are searched.
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

from shards_spec.inspection import encode_png
from shards_spec.reader import Dataset
from trainer.config import TrainConfig
from trainer.evaluate import EmbeddedClips
from trainer.stream import read_all

NUM_QUERIES = 6
NUM_FOUND = 4
STRIP_FRAMES = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sound and the clips whose pictures came first."""

    query: int
    """Row of the table of clips."""
    found: list[int]
    """Rows of the table of clips, best first."""
    movie: dict[int, str]
    """Movie id of each of these rows."""
    label: dict[int, str]
    """Class of each that has one."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Example:
        """Inverse of `to_json`; JSON's keys are texts."""
        movie, label = ({int(k): v for k, v in values[n].items()} for n in ("movie", "label"))
        return Example(query=values["query"], found=values["found"], movie=movie, label=label)


def examples(
    embedded: EmbeddedClips, dataset: Dataset, labels: Sequence[str | None] | None
) -> list[Example]:
    """The same sounds for every run of a corpus, as the choice looks at no embedding."""
    movies = sorted(set(embedded.movie.tolist()))
    wanted = min(NUM_QUERIES, len(movies))
    chosen = [movies[number * len(movies) // wanted] for number in range(wanted)]
    names = dataset.clips["movie_id"]
    results = []
    for place, movie in enumerate(chosen):
        own = (embedded.movie == movie).nonzero().flatten()
        # Not always the first clip, which in films is often a title.
        query = int(own[(place + 1) * len(own) // (wanted + 1)])
        scores_N = embedded.video @ embedded.audio[query]
        best = scores_N.argsort(descending=True, stable=True)[:NUM_FOUND].tolist()
        rows = {place: int(embedded.clip[place]) for place in (query, *best)}
        results.append(
            Example(
                query=rows[query],
                found=[rows[place] for place in best],
                movie={row: names[row].as_py() for row in rows.values()},
                label={rows[p]: str(labels[p]) for p in rows if labels and labels[p] is not None},
            )
        )
    return results


def strips(dataset: Dataset, rows: Sequence[int], config: TrainConfig) -> dict[int, bytes]:
    """A PNG a clip: its frames side by side, as the model sees them but for the resizing."""
    stream = dataclasses.replace(config.stream, pin_memory=False)
    found: dict[int, bytes] = {}
    for batch in read_all(dataset, list(rows), stream):
        for row, frames in zip(batch.clip.tolist(), batch.frames, strict=True):
            picks = torch.linspace(0, len(frames) - 1, STRIP_FRAMES).round().long()
            found[row] = encode_png(_side_by_side(frames[picks].numpy()))
    return found


def write_strips(folder: Path, found: dict[int, bytes]) -> None:
    """One file a clip, by row."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, png in found.items():
        (folder / f"{row}.png").write_bytes(png)


def _side_by_side(frames_TSSC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.concatenate(list(frames_TSSC), axis=1))
