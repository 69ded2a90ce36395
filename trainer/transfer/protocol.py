"""How a transfer is measured: every setting that its figures depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from shards_spec.errors import require

Probe = Literal["knn", "linear", "finetune"]
Modality = Literal["video", "audio", "both"]

#: Modalities of each task, as it is published.
MODALITIES: dict[str, tuple[Modality, ...]] = {
    "ucf101": ("video",),
    "hmdb51": ("video",),
    "esc50": ("audio",),
    "kinetics-sounds": ("video", "audio", "both"),
    "vggsound": ("video", "audio", "both"),
    "audioset": ("video", "audio", "both"),
}

_require = partial(require, "transfer")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Views, probes and seeds of a transfer."""

    probes: tuple[Probe, ...] = ("knn", "linear")
    """What is done with the features: `knn`, `linear` (both on frozen towers), `finetune`."""
    modalities: tuple[Modality, ...] = ()
    """`video`, `audio`, `both` (features side by side); by default those of the task."""
    windows: int = 10
    """Parts of a file, each as long as a clip, evenly spaced from its start to its end."""
    crops: int = 3
    """Squares of each frame: 3 along its longer side, or 1 in the middle."""
    neighbors: int = 20
    """k of k-NN: nearest training files by the cosine of their features."""
    temperature: float = 0.07
    """Of k-NN: a neighbor's vote is e to its cosine over this."""
    inner_folds: int = 5
    """Parts of the training files by which the linear probe chooses its regularization."""
    epochs: int = 10
    """Of fine-tuning: how often each training file is used."""
    batch_size: int = 32
    """Of fine-tuning, files."""
    lr: float = 1e-3
    """Of fine-tuning: largest learning rate, of AdamW."""
    seeds: int = 3
    """Of fine-tuning: seeds 0, 1, ... The other probes depend on none."""

    def __post_init__(self) -> None:
        _require(bool(self.probes), "probes: name at least one of knn, linear, finetune")
        _require(len(set(self.probes)) == len(self.probes), f"probes {self.probes}: a repeat")
        _require(
            set(self.modalities) <= set(get_args(Modality)),
            f"modalities {self.modalities}: unknown",
        )
        _require(self.windows >= 1, f"windows = {self.windows}: must be at least 1")
        _require(self.crops in (1, 3), f"crops = {self.crops}: must be 1 or 3")
        _require(self.neighbors >= 1, f"neighbors = {self.neighbors}: must be at least 1")
        _require(
            0 < self.temperature < math.inf, f"temperature = {self.temperature:g}: must be above 0"
        )
        _require(self.inner_folds >= 2, f"inner-folds = {self.inner_folds}: must be at least 2")
        _require(self.epochs >= 1, f"epochs = {self.epochs}: must be at least 1")
        _require(self.batch_size >= 2, f"batch-size = {self.batch_size}: must be at least 2")
        _require(0 < self.lr < math.inf, f"lr = {self.lr:g}: must be above 0")
        _require(self.seeds >= 1, f"seeds = {self.seeds}: must be at least 1")

    def modalities_of(self, task: str) -> tuple[Modality, ...]:
        """Those to measure."""
        return self.modalities or MODALITIES[task]

    def describe(self, probe: Probe, modality: str) -> str:
        """A probe in a few words, for tables."""
        views = f"{self.windows} windows"
        if modality != "audio":
            views += f" x {self.crops} crops"
        if probe == "knn":
            return f"frozen, {self.neighbors}-NN, {views}"
        if probe == "linear":
            return f"frozen, linear, {views}"
        return f"fine-tuned, {self.epochs} epochs, {views}"
