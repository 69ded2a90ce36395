"""Every setting of a training run, as nested frozen dataclasses.

All values are ours: they come from our own trials and common practice, none is taken from a paper.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from shards_spec.errors import InputError, require
from trainer.loader import StreamConfig
from trainer.plan import BatchPolicy

_require = partial(require, "config")

CONFIG_JSON = "config.json"

#: Settings that may differ when a run is resumed: they change what is watched, not what is learnt.
FREE_ON_RESUME = (
    *("log_every", "checkpoint_every", "keep_checkpoints", "eval_every", "eval_clips"),
    *("tensorboard", "stop_at_step", "accept_grown", "compile", "memory_gib"),
)
#: The stream's settings are free as well, but for those that change pixels.
STREAM_BINDS = ("stream.frame_size", "stream.crop")

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How stored clips become the networks' input; see `trainer/models/inputs.py`."""

    frame_size: int = 64
    """Side that the stream's crops are resized to on the device, pixels; 0 keeps them."""
    num_frames: int = 8
    """Frames used of each clip, evenly spread; 0 for all."""
    audio_norm: Literal["clip", "band", "fixed"] = "clip"
    """Subtract the mean of the clip, of each mel band of the clip, or `audio_mean`."""
    audio_mean: float = -6.0
    """For `fixed`: mean log-mel, nats."""
    audio_std: float = 4.0
    """For `fixed`: deviation of log-mel, nats."""

    def __post_init__(self) -> None:
        _require(self.frame_size >= 0, f"{self.frame_size = }: at least 0")
        _require(self.num_frames >= 0, f"{self.num_frames = }: at least 0")
        _require(self.audio_std > 0, f"{self.audio_std = }: above 0")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Two towers and their heads."""

    video: Literal["small", "r2plus1d18", "r2plus1d18-x16"] = "small"
    """Video tower; x16 has the channels of R(2+1)D-18 rounded up to multiples of 16."""
    audio: Literal["small", "resnet18"] = "small"
    """Audio tower."""
    embedding_size: int = 128
    """Numbers in an embedding."""
    head_hidden: int = 256
    """Width of the hidden layer of each head."""
    inputs: InputConfig = field(default_factory=InputConfig)

    def __post_init__(self) -> None:
        _require(self.embedding_size >= 2, f"{self.embedding_size = }: at least 2")
        _require(self.head_hidden >= 1, f"{self.head_hidden = }: at least 1")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of training clips, on the device; 0 or False switches one off."""

    crop_area: float = 1.0
    """Least share of the picture that a random rectangle keeps, (0, 1]; it is resized to the whole
    picture's size. Hides framing, vignette and marks at fixed places; 1 switches it off."""
    flip: bool = True
    """Mirror half of the clips, left to right."""
    brightness: float = 0.3
    """Pixels are multiplied by up to 1 +- this; hides exposure and grade."""
    contrast: float = 0.3
    """Distance from the clip's mean grey is multiplied by up to 1 +- this."""
    saturation: float = 0.3
    """Distance from each pixel's grey is multiplied by up to 1 +- this; hides the palette."""
    hue: float = 0.0
    """Colours turn by up to +- this, turns, [0, 0.5]; hides the palette."""
    grayscale: float = 0.0
    """Share of the clips that lose their colour, [0, 1]; hides the palette."""
    gain_db: float = 6.0
    """Level changes by up to +- this, dB; without effect under `audio_norm` clip and band."""
    equaliser_db: float = 0.0
    """Mel bands are raised or lowered along a smooth random curve, up to +- this, dB; hides the
    timbre of room, theme music and encoder."""
    mel_mask: float = 0.1
    """Up to this share of the mel bands is masked, one block a clip (SpecAugment)."""
    time_mask: float = 0.1
    """Up to this share of the mel frames is masked, one block a clip (SpecAugment)."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "mel_mask", "time_mask"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"augment.{name} = {value}: at least 0 and below 1")
        for name in ("gain_db", "equaliser_db"):
            _require(
                getattr(self, name) >= 0, f"augment.{name} = {getattr(self, name)}: at least 0"
            )
        _require(0 < self.crop_area <= 1, f"{self.crop_area = }: above 0, at most 1")
        _require(0 <= self.hue <= 0.5, f"{self.hue = }: at least 0, at most half a turn")
        _require(0 <= self.grayscale <= 1, f"{self.grayscale = }: between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The contrastive loss; see `trainer/loss.py`."""

    within_weight: float = 1.0
    """Weight of negatives from the same movie; 1 leaves the emphasis to the batch policy."""
    positives: Literal["clip", "movie"] = "clip"
    """What belongs together: the two views of a clip, or views of *different* clips of a movie,
    the view of earlier work that within-movie negatives argue against; then nothing of the same
    movie is a negative. A baseline: it learns what tells the movie."""
    guard_seconds: float = 0.0
    """Clips of one movie that start less than this apart are not each other's negatives."""
    guard_shots: bool = False
    """Clips of one shot are not each other's negatives."""

    def __post_init__(self) -> None:
        _require(self.within_weight > 0, f"{self.within_weight = }: above 0")
        _require(self.guard_seconds >= 0, f"{self.guard_seconds = }: at least 0 seconds")
        _require(self.positives in ("clip", "movie"), f"{self.positives = }: clip or movie")
        for_negatives = self.within_weight != 1 or self.guard_seconds > 0 or self.guard_shots
        _require(
            self.positives == "clip" or not for_negatives,
            "loss.positives = movie leaves no within-movie negatives: within_weight and guards "
            "have nothing to act on; leave them at their defaults",
        )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, linear warm-up, cosine decay."""

    lr: float = 1e-3
    """Highest learning rate."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay of the running moments."""
    weight_decay: float = 0.05
    """On matrices and kernels; never on biases, norms or the logit scale."""
    warmup_steps: int = 50
    """Steps in which the rate rises from 0."""
    final_lr_fraction: float = 0.01
    """Share of `lr` that is left at the last step."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this; 0 leaves them."""

    def __post_init__(self) -> None:
        _require(self.lr > 0, f"{self.lr = }: above 0")
        _require(self.warmup_steps >= 0, f"{self.warmup_steps = }: at least 0")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run."""

    steps: int = 1000
    """Optimiser steps of the whole run; the learning rate's schedule spans them."""
    seed: int = 0
    """Decides first weights, batches and augmentation."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the towers; auto is bf16 on GPUs that have it. The loss is always float32."""
    compile: bool = False
    """Run the model through torch.compile; without it where that fails. On GPUs the networks have
    kernels of their own, which are faster."""
    accumulate: int = 1
    """Compute each batch in this many parts, one after the other, with the loss of the whole batch;
    batch normalization takes each part's statistics. For batches that do not fit in memory."""
    memory_gib: Literal["auto"] | float = "auto"
    """GPU memory that a step may use; decides what the backward pass computes again. auto is what
    is free."""
    log_every: int = 10
    """Steps between lines of metrics."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the last step always has one."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept; at least 2, so that one whole one stands while another is made."""
    eval_every: int = 0
    """Steps between retrieval tests on held-out movies; 0 for only the last."""
    eval_clips: int = 2048
    """At most this many held-out clips, of whole movies, in the tests during training."""
    tensorboard: bool = True
    """Also write TensorBoard events into the run's folder."""
    stop_at_step: int = 0
    """End this launch after that step with a checkpoint, as if preempted; 0 runs to the end."""
    accept_grown: bool = False
    """Go on though the dataset has more movies than when the run began, the old ones unchanged: the
    epoch under way ends early, the next one has them all."""
    policy: BatchPolicy = field(default_factory=BatchPolicy)
    stream: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "checkpoint_every", "accumulate"):
            _require(getattr(self, name) >= 1, f"{name} = {getattr(self, name)}: at least 1")
        _require(
            self.keep_checkpoints >= 2,
            f"{self.keep_checkpoints = }: at least 2, because the newest may be the one being made",
        )
        _require(
            self.memory_gib == "auto" or float(self.memory_gib) > 0,
            f"{self.memory_gib = }: auto or more than 0",
        )
        ks = [policy.clips_per_movie for policy in self.policy.phases().values()]
        _require(
            self.loss.positives == "clip" or min(ks) >= 2,
            "loss.positives = movie needs another clip of the movie in every batch; set "
            "policy.clips-per-movie to 2 or more",
        )
        _require(
            self.optimiser.warmup_steps <= self.steps,
            f"warm-up of {self.optimiser.warmup_steps} steps is longer than the run of "
            f"{self.steps}; lower optimiser.warmup-steps",
        )


def to_json(config: Any) -> dict[str, Any]:
    """Plain values as JSON gives them back, in field order."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values


def from_json(kind: type[_T], values: dict[str, Any], where: str) -> _T:
    """Inverse of `to_json`; settings that this version does not know are refused."""
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise InputError(f"{where} has unknown settings {unknown}; a newer reelshards wrote it")
    found = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            value = from_json(hints[name], value, where)
        found[name] = tuple(value) if isinstance(value, list) else value
    return kind(**found)


def saved_config(run: Path) -> TrainConfig | None:
    """The configuration that a run folder was started with; None for a new folder."""
    path = run / CONFIG_JSON
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is broken ({error}); use another --run folder") from error
    return from_json(TrainConfig, values, str(path))


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Each setting that binds a resumed run and differs: `optimiser.lr: 0.001 became 0.002`."""
    was, now = _flat(to_json(old)), _flat(to_json(new))
    return [
        f"{name}: {was.get(name)!r} became {now.get(name)!r}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
        and name not in FREE_ON_RESUME
        and (not name.startswith("stream.") or name in STREAM_BINDS)
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
