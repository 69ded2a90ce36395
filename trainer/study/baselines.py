"""What needs no training: a network's initial weights, and plain statistics of a clip.

A study's figures mean little against chance: random convolutions already tell some classes apart,
and so do colors and loudness. These are measured with the same probes on the same clips.

Shape suffixes: B clips, C channels, T frames, H x W pixels, M mel bands, L mel frames.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from shards_spec.dataset.reader import open_dataset
from trainer.config import TrainConfig
from trainer.models import Embeddings, Features, build_model
from trainer.ranks.world import default_device
from trainer.runs.evaluate.evaluation import judge_towers
from trainer.runs.evaluate.result import Judgement
from trainer.runs.scoring.embeddings import Towers
from trainer.runs.scoring.labels import labeler
from trainer.study.config import Source, StudyCorpus


class ClipStatistics(nn.Module):
    """The mean color and the mean log-mel spectrum of a clip as features.

    They are not comparable with each other: all embeddings are equal, so retrieval is at chance.
    """

    def features(self, video_BCTHW: torch.Tensor, audio_BCML: torch.Tensor) -> Features:
        """(B, 3) mean of red, green and blue, and (B, M) mean of each mel band over time."""
        return Features(
            video_BCTHW.float().mean(dim=(2, 3, 4)), audio_BCML.float().mean(dim=3).flatten(1)
        )

    def embed(self, features: Features) -> Embeddings:
        """The same unit vector for every clip."""
        constant = torch.ones_like(features.video[:, :1])
        return Embeddings(constant, constant, constant.new_ones(()))


def judge_untrained(source: Source, corpus: StudyCorpus, config: TrainConfig) -> Judgement:
    """Evaluate initial weights, those with which the run of this seed starts, or statistics.

    A statistic has no retrieval figures. Raises as `judge`.
    """
    dataset = open_dataset(corpus.data)
    label = labeler(dataset, corpus.labels, "")
    towers: nn.Module = (
        ClipStatistics() if source == "statistics" else build_model(config.model, config.seed)
    )
    model: Towers = towers.to(default_device())  # type: ignore[assignment]
    judged = judge_towers(
        model,
        config,
        dataset,
        label,
        run=source,
        steps_done=0,
        notes=[],
        tags=corpus.tags,
    )
    if source == "initial":
        return judged
    retrieval = dataclasses.replace(judged.evaluation.retrieval, results=[])
    evaluation = dataclasses.replace(judged.evaluation, retrieval=retrieval)
    return dataclasses.replace(judged, evaluation=evaluation)
