"""Every setting of a training run, as nested frozen dataclasses.

All default values are our own, from our trials and common practice; none comes from a paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from shards_spec.errors import require
from trainer.loader import StreamConfig
from trainer.plan import BatchPolicy

_require = partial(require, "config")

#: Default warm-up: this share of the run, but at most so many steps.
WARMUP_FRACTION = 0.05
MAX_WARMUP_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How stored clips become network inputs; see `trainer/models/inputs.py`."""

    frame_size: int = 64
    """Side, in pixels, that the stream's crops are resized to on the device; 0 keeps their size."""
    num_frames: int = 8
    """Frames used of each clip, evenly spaced; 0 for all."""
    audio_norm: Literal["clip", "band", "fixed"] = "clip"
    """Subtract the mean of the clip, of each mel band of the clip, or
    `--model.inputs.audio-mean`."""
    audio_mean: float = -6.0
    """For `fixed`: mean log-mel, nats."""
    audio_std: float = 4.0
    """For `fixed`: standard deviation of log-mel, nats."""

    def __post_init__(self) -> None:
        _at_least("model.inputs.frame-size", self.frame_size, 0)
        _at_least("model.inputs.num-frames", self.num_frames, 0)
        _require(
            math.isfinite(self.audio_mean),
            f"model.inputs.audio-mean = {self.audio_mean:g}: must be finite",
        )
        _positive("model.inputs.audio-std", self.audio_std)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Two towers and their projection heads."""

    video: Literal["small", "r2plus1d18", "r2plus1d18-x16"] = "small"
    """Video tower; x16 has the channels of R(2+1)D-18 rounded up to multiples of 16."""
    audio: Literal["small", "resnet18"] = "small"
    """Audio tower."""
    embedding_size: int = 128
    """Dimensions of an embedding."""
    head_hidden: int = 256
    """Width of the hidden layer of each head."""
    inputs: InputConfig = field(default_factory=InputConfig)

    def __post_init__(self) -> None:
        _at_least("model.embedding-size", self.embedding_size, 2)
        _at_least("model.head-hidden", self.head_hidden, 1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random augmentation of training clips, on the device; 0 or False disables a setting."""

    crop_area: float = 1.0
    """Smallest share of the frame that a random crop keeps, (0, 1]; crops are resized to the full
    size. Hides framing, vignette and logos; 1 disables it."""
    flip: bool = True
    """Mirror half of the clips horizontally."""
    brightness: float = 0.3
    """Pixels are multiplied by up to 1 +- this; hides exposure and color grading."""
    contrast: float = 0.3
    """Distance from the clip's mean gray is multiplied by up to 1 +- this."""
    saturation: float = 0.3
    """Distance from each pixel's gray is multiplied by up to 1 +- this; hides the palette."""
    hue: float = 0.0
    """Hue is rotated by up to +- this, turns, [0, 0.5]; hides the palette."""
    grayscale: float = 0.0
    """Share of clips converted to gray, [0, 1]; hides the palette."""
    gain_db: float = 6.0
    """Level changes by up to +- this, dB; no effect with `--model.inputs.audio-norm` clip or
    band."""
    equalizer_db: float = 0.0
    """Mel bands are raised or lowered along a smooth random curve, up to +- this, dB; hides the
    timbre of room, theme music and encoder."""
    mel_mask: float = 0.1
    """Up to this share of the mel bands is masked, one block per clip (SpecAugment)."""
    time_mask: float = 0.1
    """Up to this share of the time frames is masked, one block per clip (SpecAugment)."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "mel_mask", "time_mask"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"{_flag('augment', name)} = {value:g}: must be in [0, 1)")
        for name in ("gain_db", "equalizer_db"):
            value = getattr(self, name)
            _require(
                0 <= value < math.inf,
                f"{_flag('augment', name)} = {value:g}: must be at least 0 and finite",
            )
        _require(
            0 < self.crop_area <= 1, f"augment.crop-area = {self.crop_area:g}: must be in (0, 1]"
        )
        _require(0 <= self.hue <= 0.5, f"augment.hue = {self.hue:g}: must be in [0, 0.5] turns")
        _require(
            0 <= self.grayscale <= 1, f"augment.grayscale = {self.grayscale:g}: must be in [0, 1]"
        )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The contrastive loss; see `trainer/learning/loss.py`."""

    within_weight: float = 1.0
    """Weight of within-movie negatives; 1 leaves the emphasis to the batch policy."""
    positives: Literal["clip", "movie"] = "clip"
    """Which pairs are positives: the two views of one clip, or views of *different* clips of one
    movie. `movie` is the baseline that within-movie negatives argue against: nothing of the same
    movie is a negative, and the model learns what identifies the movie."""
    guard_seconds: float = 0.0
    """Clips of one movie that start less than this apart are not each other's negatives."""
    guard_shots: bool = False
    """Clips of one shot are not each other's negatives."""

    def __post_init__(self) -> None:
        _positive("loss.within-weight", self.within_weight)
        _require(
            0 <= self.guard_seconds < 1e9,
            f"loss.guard-seconds = {self.guard_seconds:g}: must be at least 0 and below 1e9",
        )
        _require(
            self.positives in ("clip", "movie"),
            f"loss.positives = {self.positives}: must be clip or movie",
        )
        acts_on_negatives = self.within_weight != 1 or self.guard_seconds > 0 or self.guard_shots
        _require(
            self.positives == "clip" or not acts_on_negatives,
            "loss.positives = movie has no within-movie negatives for loss.within-weight and the "
            "guards to act on; leave them at their defaults",
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay."""

    lr: float = 1e-3
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of the running moments, [0, 1)."""
    weight_decay: float = 0.05
    """Applied to matrices and kernels, never to biases, norms or the logit scale."""
    warmup_steps: int = -1
    """Steps in which the rate rises from 0; -1 for 5 % of the run, at most 1000."""
    final_lr_fraction: float = 0.01
    """Learning rate of the last step as a share of `--optimizer.lr`, [0, 1]."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to this; 0 disables clipping."""

    def __post_init__(self) -> None:
        _positive("optimizer.lr", self.lr)
        _require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"optimizer.betas = {self.betas}: two numbers in [0, 1)",
        )
        _require(
            0 <= self.weight_decay < math.inf,
            f"optimizer.weight-decay = {self.weight_decay:g}: must be at least 0 and finite",
        )
        _at_least("optimizer.warmup-steps", self.warmup_steps, -1)
        _require(
            0 <= self.final_lr_fraction <= 1,
            f"optimizer.final-lr-fraction = {self.final_lr_fraction:g}: must be in [0, 1]",
        )
        _require(
            0 <= self.max_grad_norm < math.inf,
            f"optimizer.max-grad-norm = {self.max_grad_norm:g}: must be at least 0 and finite",
        )

    def warmup(self, num_steps: int) -> int:
        """Warm-up steps of a run of `num_steps` steps."""
        if self.warmup_steps >= 0:
            return self.warmup_steps
        return min(MAX_WARMUP_STEPS, round(WARMUP_FRACTION * num_steps))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a run."""

    steps: int = 1000
    """Optimizer steps of the whole run; the learning rate schedule spans them."""
    seed: int = 0
    """Determines initial weights, batches and augmentation."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the towers; auto is bf16 on GPUs that support it. The loss is always float32."""
    compile: bool = False
    """Compile the model with torch.compile; if that fails, train without. On GPUs the networks have
    their own kernels, which are faster."""
    accumulate: int = 1
    """Compute each batch in this many sequential parts, with the loss of the whole batch; batch
    normalization uses each part's statistics. For batches that do not fit in memory."""
    memory_gib: Literal["auto"] | float = "auto"
    """GPU memory that a step may use; determines what the backward pass recomputes. auto is the
    free memory."""
    log_every: int = 10
    """Steps between metric lines."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the last step always has one."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept; at least 2, so that one is complete while the next is written."""
    eval_every: int = 0
    """Steps between retrieval evaluations on held-out movies; 0 for only the last step."""
    eval_clips: int = 2048
    """Upper bound on held-out clips, of whole movies, in evaluations during training."""
    tensorboard: bool = True
    """Also write TensorBoard events into the run folder."""
    stop_at_step: int = 0
    """End this launch after that step with a checkpoint, as if preempted; 0 runs to the end."""
    allow_appended_data: bool = False
    """Resume although movies were added to the dataset, provided that the earlier ones are
    unchanged: the current epoch ends early and the next one includes all movies."""
    policy: BatchPolicy = field(default_factory=BatchPolicy)
    stream: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "checkpoint_every", "accumulate"):
            _at_least(_flag("", name), getattr(self, name), 1)
        for name in ("eval_every", "stop_at_step"):
            _at_least(_flag("", name), getattr(self, name), 0)
        _at_least("eval-clips", self.eval_clips, 1)
        _require(
            self.keep_checkpoints >= 2,
            f"keep-checkpoints = {self.keep_checkpoints}: must be at least 2, because the newest "
            "may be incomplete while it is written",
        )
        _require(
            self.memory_gib == "auto" or float(self.memory_gib) > 0,
            f"memory-gib = {self.memory_gib}: must be auto or above 0",
        )
        self._check_negatives()
        warmup = self.optimizer.warmup(self.steps)
        _require(
            warmup <= self.steps,
            f"optimizer.warmup-steps = {warmup} exceeds steps = {self.steps}; lower it, or use -1 "
            "for a share of the run",
        )

    def _check_negatives(self) -> None:
        """Every phase of the schedule must give the loss positives and negatives."""
        for policy in self.policy.phases().values():
            m, k = policy.movies_per_batch, policy.clips_per_movie
            _require(
                m * k >= 2,
                "policy: a batch of one clip has no negatives; set policy.movies-per-batch or "
                "policy.clips-per-movie to 2 or more",
            )
            if self.loss.positives == "movie":
                _require(
                    k >= 2,
                    "loss.positives = movie needs another clip of the movie in every batch; set "
                    "policy.clips-per-movie to 2 or more",
                )
                _require(
                    m >= 2,
                    "loss.positives = movie takes its negatives from other movies; set "
                    "policy.movies-per-batch to 2 or more",
                )


def _flag(section: str, name: str) -> str:
    """A setting as its command-line flag is spelled."""
    name = name.replace("_", "-")
    return f"{section}.{name}" if section else name


def _at_least(flag: str, value: int, minimum: int) -> None:
    _require(value >= minimum, f"{flag} = {value}: must be at least {minimum}")


def _positive(flag: str, value: Any) -> None:
    _require(0 < value < math.inf, f"{flag} = {value:g}: must be above 0 and finite")
