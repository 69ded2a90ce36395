"""Retrieval on held-out movies, which training never used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.data.mix.mixed_dataset import parts_of
from trainer.data.plan import ClipIndex
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.retrieval import Retrieval, Scores, retrieval

#: Short names of directions, for metrics and tables.
SHORT = {"video_to_audio": "v2a", "audio_to_video": "a2v"}


@dataclass(frozen=True, kw_only=True)
class HeldoutRetrieval:
    """Retrieval in both directions, within movies and among all clips."""

    results: list[Retrieval]
    num_clips: int
    num_movies: int
    is_heldout: bool
    """False if the run held no movies out: then these are movies it trained on."""
    by_dataset: dict[str, HeldoutRetrieval] = field(default_factory=dict)
    """Of several datasets, the same among the clips of each, by URI."""

    @property
    def score(self) -> float:
        """Mean R@1 within movies over both directions, or among all clips where no movie has two;
        by this, evaluations of one run are compared."""
        within = [item for item in self.results if item.gallery == "within_movie"]
        recalls = [item.over_clips.r1 for item in within or self.results]
        return sum(recalls) / len(recalls) if recalls else float("-inf")

    def metrics(self) -> dict[str, float]:
        """Means over clips by metric name, with chance: `eval/v2a_within_movie_r1`."""
        values: dict[str, float] = {}
        for result in self.results:
            name = f"eval/{SHORT[result.direction]}_{result.gallery}"
            for key in ("r1", "r5", "r10", "median_rank"):
                values[f"{name}_{key}"] = getattr(result.over_clips, key)
                values[f"{name}_{key}_chance"] = getattr(result.chance_over_clips, key)
        for number, own in enumerate(self.by_dataset.values(), start=1):
            values |= {
                name.replace("eval/", f"eval/data{number}_"): value
                for name, value in own.metrics().items()
            }
        return values

    def lines(self) -> list[str]:
        """A table for people."""
        kind = "held-out" if self.is_heldout else "training (the run held none out)"
        head = f"retrieval on {self.num_clips} clips of {self.num_movies} {kind} movies"
        lines = [head, *(line for result in self.results for line in _lines(result))]
        for number, (uri, own) in enumerate(self.by_dataset.items(), start=1):
            lines += [f"data {number}, {uri}:", *own.lines()]
        return lines

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)


def evaluation_index(dataset: Dataset, config: TrainConfig) -> tuple[ClipIndex, bool]:
    """The clips of held-out movies, and True; without a split those of all movies, and False."""
    # Whole stored clips, also of runs that joined them.
    policy = dataclasses.replace(config.policy, joined_clips=1)
    if policy.split == "train" and policy.heldout_fraction > 0:
        policy = dataclasses.replace(policy, split="heldout")
        return ClipIndex.from_dataset(dataset, policy), True
    return ClipIndex.from_dataset(dataset, policy), False


def retrieve(embedded: EmbeddedClips, dataset: Dataset, *, is_heldout: bool) -> HeldoutRetrieval:
    """Retrieval among embedded clips, and among those of each of several datasets."""
    whole = _retrieve(embedded, is_heldout)
    parts = parts_of(dataset)
    if len(parts) == 1:
        return whole
    own = {part.uri: embedded.of_rows(part.rows) for part in parts}
    by_dataset = {
        uri: _retrieve(clips, is_heldout) for uri, clips in own.items() if len(clips.clip)
    }
    return dataclasses.replace(whole, by_dataset=by_dataset)


def _retrieve(embedded: EmbeddedClips, is_heldout: bool) -> HeldoutRetrieval:
    return HeldoutRetrieval(
        results=retrieval(embedded.video, embedded.audio, embedded.movie),
        num_clips=len(embedded.clip),
        num_movies=len(set(embedded.movie.tolist())),
        is_heldout=is_heldout,
    )


def whole_movies(index: ClipIndex, max_clips: int) -> NDArray[np.int64]:
    """Index rows of as many whole movies as fit in `max_clips`; at least the first movie.

    Movies are taken evenly over the index, because neighbors in it may be episodes of one show. Of
    several datasets, each may have an equal part of the clips.
    """
    num_datasets = len(index.datasets)
    if num_datasets == 1:
        return _whole_movies(index.movie, index.row, max_clips)
    dataset = index.dataset_of_group[index.group]
    own = [np.flatnonzero(dataset == number) for number in range(num_datasets)]
    return np.concatenate(
        [
            _whole_movies(index.movie[clips], index.row[clips], max_clips // num_datasets)
            for clips in own
            if len(clips)
        ]
    )


def _whole_movies(
    movie: NDArray[np.int32], row: NDArray[np.int64], max_clips: int
) -> NDArray[np.int64]:
    movies, first, count = np.unique(movie, return_index=True, return_counts=True)
    num_movies = max(1, int(len(movies) * min(1.0, max_clips / max(1, len(movie)))))
    chosen = np.unique(np.arange(num_movies) * len(movies) // num_movies)
    rows: list[NDArray[np.int64]] = []
    num_rows = 0
    for number in chosen:
        if rows and num_rows + count[number] > max_clips:
            continue
        rows.append(row[first[number] : first[number] + count[number]])
        num_rows += int(count[number])
    return np.concatenate(rows)


def _lines(result: Retrieval) -> list[str]:
    direction = result.direction.replace("_", " ")
    gallery = result.gallery.replace("_", " ")
    lines = []
    for average, scores, chance in (
        ("over clips", result.over_clips, result.chance_over_clips),
        ("over movies", result.over_movies, result.chance_over_movies),
    ):
        if result.gallery == "global" and average == "over movies":
            continue
        lines.append(f"  {direction}, {gallery:12}, mean {average:11}: {_text(scores, chance)}")
    return lines


def _text(scores: Scores, chance: Scores) -> str:
    return (
        f"R@1 {scores.r1:.3f} (chance {chance.r1:.3f})  R@5 {scores.r5:.3f} ({chance.r5:.3f})  "
        f"R@10 {scores.r10:.3f} ({chance.r10:.3f})  "
        f"median rank {scores.median_rank:.1f} ({chance.median_rank:.1f})"
    )
