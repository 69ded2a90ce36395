"""Linear probes for clips with several labels each, by mean average precision.

A clip has every label whose ranges cover at least `MIN_SECONDS` of it. Labels without enough
examples are left out, in the same way for every model.

Shape suffixes: N training clips, M evaluation clips, F features, K labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.recipe import NANOSECONDS
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.labels import LabeledRange, read_labels
from trainer.runs.scoring.probes import MIN_STD, fit_logistic

#: How much of a clip a label has to cover, seconds.
MIN_SECONDS = 0.25

#: Clips that a label must have, in training and in evaluation.
MIN_TRAIN_CLIPS, MIN_EVAL_CLIPS = 5, 2

#: As `probes.L2`; higher, because most labels have few clips.
L2 = 1e-2


@dataclass(frozen=True, kw_only=True)
class TagResult:
    """Mean average precision on clips that the probe was not trained on, with chance."""

    mean_average_precision: float
    """[0, 1]; the mean over labels."""
    chance: float
    """Mean share of the evaluation clips that have a label: what a constant answer scores."""
    average_precision: dict[str, float]
    """By label."""
    num_train_clips: int
    num_eval_clips: int

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TagProbe:
    """A probe with the score of each clip: the scores' sum over all clips, by that of the weights,
    is the mean average precision."""

    result: TagResult
    scores: torch.Tensor
    """Float64: of each label of the clip, the precision at its rank by the label's clips."""
    weights: torch.Tensor
    """Float64: the same with a precision of 1."""


def tag_probe(
    dataset: Dataset,
    table: Path,
    train: EmbeddedClips,
    evaluated: EmbeddedClips,
    modality: str,
) -> TagProbe | None:
    """A probe of one modality; None if no label has enough clips on both sides.

    Raises `InputError` as `read_labels`.
    """
    ranges = read_labels(table, dataset)
    names = sorted({one.label for own in ranges.values() for one in own})
    has_NK, has_MK = (
        has_tags(dataset.clips, side.clip.tolist(), ranges, names) for side in (train, evaluated)
    )
    is_used_K = (has_NK.sum(dim=0) >= MIN_TRAIN_CLIPS) & (has_MK.sum(dim=0) >= MIN_EVAL_CLIPS)
    if not is_used_K.any():
        return None
    has_NK, has_MK = has_NK[:, is_used_K], has_MK[:, is_used_K]
    logits_MK = tag_logits(train.features(modality), has_NK, evaluated.features(modality))
    precision_MK = precisions(logits_MK, has_MK)
    weight_MK = has_MK.double() / has_MK.sum(dim=0)
    average_K = (precision_MK * weight_MK).sum(dim=0)
    used = [name for name, is_used in zip(names, is_used_K.tolist(), strict=True) if is_used]
    result = TagResult(
        mean_average_precision=float(average_K.mean()),
        chance=float(has_MK.double().mean()),
        average_precision=dict(zip(used, average_K.tolist(), strict=True)),
        num_train_clips=len(has_NK),
        num_eval_clips=len(has_MK),
    )
    return TagProbe(result, (precision_MK * weight_MK).sum(dim=1), weight_MK.sum(dim=1))


def has_tags(
    clips: pa.Table,
    rows: Sequence[int],
    ranges: dict[str, list[LabeledRange]],
    names: Sequence[str],
) -> torch.Tensor:
    """(rows, K) bool: whether ranges of a label cover `MIN_SECONDS` of the clip in total."""
    number = {name: at for at, name in enumerate(names)}
    chosen = clips.select(["movie_id", "start_ns", "end_ns"]).take(pa.array(rows, pa.int64()))
    covered = torch.zeros(len(rows), len(names), dtype=torch.float64)
    for at, clip in enumerate(chosen.to_pylist()):
        for one in ranges.get(clip["movie_id"], []):
            shared = min(clip["end_ns"], one.end_ns) - max(clip["start_ns"], one.start_ns)
            if shared > 0:
                covered[at, number[one.label]] += shared
    return covered >= MIN_SECONDS * NANOSECONDS


def precisions(scores_MK: torch.Tensor, is_positive_MK: torch.Tensor) -> torch.Tensor:
    """(M, K) float64: of each positive, the precision at its rank by descending score; equal scores
    share the precision at the last of them. Of the others, 0."""
    columns = [
        _precisions(scores_MK[:, at], is_positive_MK[:, at]) for at in range(scores_MK.shape[1])
    ]
    return torch.stack(columns, dim=1)


def _precisions(scores_M: torch.Tensor, is_positive_M: torch.Tensor) -> torch.Tensor:
    order = scores_M.argsort(descending=True, stable=True)
    ranked, positive = scores_M[order], is_positive_M[order].double()
    number = torch.arange(1, len(ranked) + 1, dtype=torch.float64)
    is_last = torch.ones(len(ranked), dtype=torch.bool)
    is_last[:-1] = ranked[1:] != ranked[:-1]
    ends = is_last.nonzero().flatten()
    precision = (positive.cumsum(0) / number)[ends]
    result = torch.empty_like(positive)
    result[order] = precision[torch.searchsorted(ends, torch.arange(len(ranked)))] * positive
    return result


def tag_logits(
    train_NF: torch.Tensor, has_NK: torch.Tensor, evaluated_MF: torch.Tensor
) -> torch.Tensor:
    """(M, K) float64: answers of K independent linear probes; `has_NK` are 0 and 1, or bool."""
    mean_F = train_NF.double().mean(dim=0)
    std_F = train_NF.double().std(dim=0, correction=0)
    std_F = torch.where(std_F > MIN_STD, std_F, torch.ones_like(std_F))
    scaled_NF = (train_NF.double() - mean_F) / std_F
    weights_KF, bias_K = fit_logistic(scaled_NF, has_NK.double(), has_NK.shape[1], L2)
    return ((evaluated_MF.double() - mean_F) / std_F) @ weights_KF.T + bias_K
