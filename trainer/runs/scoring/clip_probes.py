"""Linear probes of embedded clips: what is shown, and which movie it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from shards_spec.dataset.reader import Dataset
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.probes import ProbeResult, probe_answers

MODALITIES = ("video", "audio")


@dataclass(frozen=True)
class ClipProbe:
    """A probe of one modality, with its single answers.

    Shape suffixes of the comments: M clips that the probe was evaluated on.
    """

    result: ProbeResult
    row: torch.Tensor
    """(M,) int64, rows of the embedded clips."""
    is_right: torch.Tensor
    """(M,) bool."""


def class_probes(
    train: EmbeddedClips,
    train_labels: Sequence[str | None],
    evaluated: EmbeddedClips,
    eval_labels: Sequence[str | None],
) -> dict[str, ClipProbe]:
    """A probe of each modality on the labeled clips; none if either side has no labeled clip."""
    names = sorted({label for label in (*train_labels, *eval_labels) if label is not None})
    number = {name: index for index, name in enumerate(names)}
    train_rows, eval_rows = (
        torch.tensor([i for i, label in enumerate(labels) if label is not None], dtype=torch.int64)
        for labels in (train_labels, eval_labels)
    )
    if not len(train_rows) or not len(eval_rows):
        return {}
    train_number, eval_number = (
        torch.tensor([number[label] for label in labels if label is not None])
        for labels in (train_labels, eval_labels)
    )
    return {
        name: _probe(train, train_rows, train_number, evaluated, eval_rows, eval_number, name)
        for name in MODALITIES
    }


def movie_probes(dataset: Dataset, embedded: EmbeddedClips) -> dict[str, ClipProbe]:
    """Which movie is it? Trained on the first half of each movie, evaluated on its second half.

    Halves in time, not at random: neighbors share a scene, and recognizing a scene does not show
    that the movie is recognized.
    """
    start_ns = torch.from_numpy(
        np.array(dataset.clips["start_ns"].to_numpy())[embedded.clip.numpy()]
    )
    train_rows, eval_rows, labels = [], [], torch.zeros_like(embedded.movie)
    for number, movie in enumerate(sorted(set(embedded.movie.tolist()))):
        own = (embedded.movie == movie).nonzero().flatten()
        own = own[start_ns[own].argsort(stable=True)]
        labels[own] = number
        # A movie of one clip cannot be on both sides.
        if len(own) >= 2:
            train_rows.append(own[: len(own) // 2])
            eval_rows.append(own[len(own) // 2 :])
    if len(train_rows) < 2:
        return {}
    train, evaluated = torch.cat(train_rows), torch.cat(eval_rows)
    return {
        name: _probe(embedded, train, labels[train], embedded, evaluated, labels[evaluated], name)
        for name in MODALITIES
    }


def _probe(
    train: EmbeddedClips,
    train_rows: torch.Tensor,
    train_label: torch.Tensor,
    evaluated: EmbeddedClips,
    eval_rows: torch.Tensor,
    eval_label: torch.Tensor,
    modality: str,
) -> ClipProbe:
    result, is_right = probe_answers(
        train.features(modality)[train_rows],
        train_label,
        evaluated.features(modality)[eval_rows],
        eval_label,
    )
    return ClipProbe(result, eval_rows, is_right)
