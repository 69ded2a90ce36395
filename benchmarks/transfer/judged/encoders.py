"""The networks of a study's folder, and what is computed of a clip without any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from trainer.models import build_model
from trainer.models.inputs import audio_from_logmel, video_from_frames
from trainer.runs.folder import TrainedRun, load_run

#: Of an arm: how its folder begins.
ARMS = {
    "k = 1": "k001-weight1-none-clip",
    "k = 16, no within-movie negatives": "k016-weight1e-09-none-clip",
    "k = 16": "k016-weight1-none-clip",
}
STATISTICS, UNTRAINED = "mean color, mean log-mel", "untrained network"

_BATCH = 64


class Towers(Protocol):
    """What computes features of each modality alone."""

    def video_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """Pixels in [0, 1] -> (B, F)."""

    def audio_features(self, audio_BCML: torch.Tensor) -> torch.Tensor:
        """Log-mel in nats -> (B, F)."""


class Statistics:
    """The mean color, and the mean log-mel spectrum."""

    def video_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3)."""
        return video_BCTHW.float().mean(dim=(2, 3, 4))

    def audio_features(self, audio_BCML: torch.Tensor) -> torch.Tensor:
        """(B, mel bands)."""
        return audio_BCML.float().mean(dim=3).flatten(1)


@dataclass(frozen=True, eq=False)
class Encoder:
    """One network of a study."""

    arm: str
    seed: int
    towers: Towers
    run: TrainedRun
    """How its inputs have to look."""

    @torch.inference_mode()
    def features(self, modality: str, inputs: torch.Tensor) -> torch.Tensor:
        """Frames (N, T, S, S, 3) uint8, or log-mel (N, M, L) -> (N, F) float32."""
        parts = []
        for part in torch.split(inputs, _BATCH):
            if modality == "video":
                video_BCTHW = video_from_frames(part, self.run.config.model.inputs)
                parts.append(self.towers.video_features(video_BCTHW).float())
            else:
                parts.append(self.towers.audio_features(audio_from_logmel(part)).float())
        return torch.cat(parts)


def recipe_of(study: Path) -> Recipe:
    """The recipe of a study's clips."""
    return load_run(_folders(study, ARMS["k = 16"])[0][1]).recipe


def encoders_of(study: Path) -> Iterator[Encoder]:
    """All arms and seeds of a study. Raises `InputError` if an arm lacks a seed."""
    seeds: set[int] | None = None
    for arm, beginning in ARMS.items():
        found = _folders(study, beginning)
        if seeds is not None and seeds != {seed for seed, _ in found}:
            raise InputError(f"{study}: {arm} has other seeds than the arms before")
        seeds = {seed for seed, _ in found}
        for seed, folder in found:
            run = load_run(folder)
            yield Encoder(arm, seed, run.model, run)
            if arm == "k = 16":
                # Those with which the runs of this seed start.
                initial = build_model(run.config.model, run.config.seed).eval()
                yield Encoder(UNTRAINED, seed, initial, run)
                yield Encoder(STATISTICS, seed, Statistics(), run)


def _folders(study: Path, beginning: str) -> list[tuple[int, Path]]:
    found = [
        (int(folder.name.rpartition("seed")[2]), folder)
        for folder in study.glob(f"{beginning}-seed*")
    ]
    if not found:
        raise InputError(f"{study} has no folder {beginning}-seed*: is it a study's corpus?")
    return sorted(found)
