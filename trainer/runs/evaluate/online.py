"""What is evaluated during training: retrieval on held-out movies and, if asked for, probes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import PolicyError
from trainer.config import TrainConfig
from trainer.data.plan import ClipIndex
from trainer.models import TwoTowers
from trainer.runs.evaluate.heldout import HeldoutRetrieval, evaluation_index, retrieve, whole_movies
from trainer.runs.scoring.clip_probes import ClipProbe, class_probes, movie_probes
from trainer.runs.scoring.embeddings import EmbeddedClips, embed_clips
from trainer.runs.scoring.labels import labeler
from trainer.runs.scoring.probes import ProbeResult


@dataclass(frozen=True)
class OnlineEvaluation:
    """The results of one evaluation during training."""

    retrieval: HeldoutRetrieval
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    """By name, such as `class_probe_video`."""

    def metrics(self) -> dict[str, float]:
        """By metric name: `eval/class_probe_video`, with chance."""
        values = self.retrieval.metrics()
        for name, probe in self.probes.items():
            values |= {f"eval/{name}": probe.accuracy, f"eval/{name}_chance": probe.chance}
        return values


def online_evaluation(
    model: TwoTowers, dataset: Dataset, config: TrainConfig, device: torch.device
) -> OnlineEvaluation | None:
    """Evaluate on up to `config.eval_clips` clips of whole held-out movies.

    None if there is nothing to evaluate on: no held-out movie has an eligible clip.
    """
    try:
        index, is_heldout = evaluation_index(dataset, config)
    except PolicyError:
        return None
    rows = whole_movies(index, config.eval_clips)
    embedded = embed_clips(model, dataset, rows, config, device)
    probes: dict[str, ProbeResult] = {}
    if config.eval_probes:
        found = movie_probes(dataset, embedded)
        probes |= {f"movie_probe_{name}": probe.result for name, probe in found.items()}
    if config.eval_labels and is_heldout:
        found = _class_probes(model, dataset, config, device, embedded)
        probes |= {f"class_probe_{name}": probe.result for name, probe in found.items()}
    return OnlineEvaluation(retrieve(embedded, dataset, is_heldout=is_heldout), probes)


def _class_probes(
    model: TwoTowers,
    dataset: Dataset,
    config: TrainConfig,
    device: torch.device,
    evaluated: EmbeddedClips,
) -> dict[str, ClipProbe]:
    """Fitted on as many training clips at most as are evaluated."""
    label = labeler(dataset, Path(config.eval_labels), "")
    assert label is not None
    # Whole stored clips, also of runs that joined them.
    policy = dataclasses.replace(config.policy, joined_clips=1)
    train_rows = whole_movies(ClipIndex.from_dataset(dataset, policy), config.eval_clips)
    train = embed_clips(model, dataset, train_rows, config, device)
    return class_probes(
        train, label(train.clip.tolist()), evaluated, label(evaluated.clip.tolist())
    )
