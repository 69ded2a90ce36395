"""Embedding whole movies, and retrieval on those that training never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.errors import PolicyError
from shards_spec.reader import Dataset
from trainer.config import TrainConfig
from trainer.evaluate.retrieval import Retrieval, Scores, retrieval
from trainer.learning import autocast, device_inputs
from trainer.models import TwoTowers
from trainer.plan import ClipIndex
from trainer.stream import read_all

#: Short names of directions, for metrics and tables.
SHORT = {"video_to_audio": "v2a", "audio_to_video": "a2v"}


@dataclass(frozen=True)
class EmbeddedClips:
    """What a model makes of some clips, on the host; row i of each is the same clip.

    Shape suffixes of the comments: N clips, D embedding size, F features of a tower.
    """

    video: torch.Tensor
    """(N, D) float32, unit length."""
    audio: torch.Tensor
    """(N, D) float32, unit length."""
    video_features: torch.Tensor
    """(N, F of the video tower) float32."""
    audio_features: torch.Tensor
    """(N, F of the audio tower) float32."""
    clip: torch.Tensor
    """(N,) int64, row of the table of clips."""
    movie: torch.Tensor
    """(N,) int64, number of the movie."""


@dataclass(frozen=True, kw_only=True)
class HeldoutRetrieval:
    """Retrieval both ways, within and across movies."""

    results: list[Retrieval]
    num_clips: int
    num_movies: int
    is_heldout: bool
    """False where the run kept no movies from training: then these are movies it trained on."""

    def metrics(self) -> dict[str, float]:
        """Means over clips by metric name, and chance: `eval/v2a_within_movie_r1`."""
        values: dict[str, float] = {}
        for one in self.results:
            name = f"eval/{SHORT[one.direction]}_{one.gallery}"
            for key in ("r1", "r5", "r10", "median_rank"):
                values[f"{name}_{key}"] = getattr(one.over_clips, key)
                values[f"{name}_{key}_chance"] = getattr(one.chance_over_clips, key)
        return values

    def lines(self) -> list[str]:
        """A table for people."""
        kind = "held-out" if self.is_heldout else "training (the run held none out)"
        head = f"retrieval on {self.num_clips} clips of {self.num_movies} {kind} movies"
        return [head, *(line for one in self.results for line in _lines(one))]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def evaluation_index(dataset: Dataset, config: TrainConfig) -> tuple[ClipIndex, bool]:
    """The clips of held-out movies, and True; without a split those of all movies, and False."""
    if config.policy.split == "train" and config.policy.heldout_fraction > 0:
        policy = dataclasses.replace(config.policy, split="heldout")
        return ClipIndex.from_dataset(dataset, policy), True
    return ClipIndex.from_dataset(dataset, config.policy), False


def heldout_retrieval(
    model: TwoTowers,
    dataset: Dataset,
    config: TrainConfig,
    device: torch.device,
    *,
    max_clips: int,
) -> HeldoutRetrieval | None:
    """Embed held-out movies, whole ones, up to `max_clips` in all, and retrieve.

    None where there is nothing to test on: no held-out movie has an eligible clip.
    """
    try:
        index, is_heldout = evaluation_index(dataset, config)
    except PolicyError:
        return None
    rows = whole_movies(index, max_clips)
    embedded = embed_clips(model, dataset, rows, config, device)
    return retrieve(embedded, is_heldout=is_heldout)


def retrieve(embedded: EmbeddedClips, *, is_heldout: bool) -> HeldoutRetrieval:
    """Retrieval among embedded clips."""
    return HeldoutRetrieval(
        results=retrieval(embedded.video, embedded.audio, embedded.movie),
        num_clips=len(embedded.clip),
        num_movies=len(set(embedded.movie.tolist())),
        is_heldout=is_heldout,
    )


def whole_movies(index: ClipIndex, max_clips: int) -> NDArray[np.int64]:
    """Rows of as many whole movies as fit in `max_clips`; of the first movie in any case.

    Movies are taken evenly over the index, as neighbours in it may be episodes of one show.
    """
    movies, first, count = np.unique(index.movie, return_index=True, return_counts=True)
    num_wanted = max(1, int(len(movies) * min(1.0, max_clips / max(1, len(index.movie)))))
    chosen = np.unique(np.arange(num_wanted) * len(movies) // num_wanted)
    taken: list[NDArray[np.int64]] = []
    for number in chosen:
        if taken and sum(map(len, taken)) + count[number] > max_clips:
            continue
        taken.append(index.row[first[number] : first[number] + count[number]])
    return np.concatenate(taken)


@torch.no_grad()
def embed_clips(
    model: TwoTowers,
    dataset: Dataset,
    rows: Sequence[int] | NDArray[np.int64],
    config: TrainConfig,
    device: torch.device,
) -> EmbeddedClips:
    """Embed clips without augmentation, each independent of its neighbours."""
    was_training = model.training
    model.eval()
    parts: list[tuple[torch.Tensor, ...]] = []
    stream = dataclasses.replace(
        config.stream, pin_memory=config.stream.pin_memory and device.type == "cuda"
    )
    for batch in read_all(dataset, [int(row) for row in rows], stream):
        video_BCTHW, audio_BCML = device_inputs(batch, config, device, augment=False)
        with autocast(device, config.precision):
            features = model.features(video_BCTHW, audio_BCML)
            embeddings = model.embed(features)
        found = (embeddings.video, embeddings.audio, features.video, features.audio)
        parts.append((*(one.float().cpu() for one in found), batch.clip, batch.movie))
    model.train(was_training)
    return EmbeddedClips(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _lines(one: Retrieval) -> list[str]:
    direction = one.direction.replace("_", " ")
    gallery = one.gallery.replace("_", " ")
    lines = []
    for average, found, chance in (
        ("over clips", one.over_clips, one.chance_over_clips),
        ("over movies", one.over_movies, one.chance_over_movies),
    ):
        if one.gallery == "global" and average == "over movies":
            continue
        lines.append(f"  {direction}, {gallery:12}, mean {average:11}: {_figures(found, chance)}")
    return lines


def _figures(found: Scores, chance: Scores) -> str:
    return (
        f"R@1 {found.r1:.3f} (chance {chance.r1:.3f})  R@5 {found.r5:.3f} ({chance.r5:.3f})  "
        f"R@10 {found.r10:.3f} ({chance.r10:.3f})  "
        f"median rank {found.median_rank:.1f} ({chance.median_rank:.1f})"
    )
