"""Every setting of a training run, as nested frozen dataclasses.

All default values are our own, from our trials and common practice; none comes from a paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.settings import AugmentConfig, LossConfig
from trainer.settings.checks import at_least, flag, positive, require
from trainer.settings.model import InputConfig, ModelConfig, TransformerConfig

__all__ = [
    "AugmentConfig",
    "InputConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "TransformerConfig",
]

#: Default warm-up: this share of the run, but at most so many steps.
WARMUP_FRACTION = 0.05
MAX_WARMUP_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and a schedule of the learning rate."""

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
    layer_decay: float = 1.0
    """Learning rate of each layer of a tower as a share of the next layer's, (0, 1]; the heads have
    the full rate. For towers with loaded weights; transformers are commonly trained with 0.75."""
    schedule: Literal["cosine", "constant", "wsd"] = "cosine"
    """Course of the rate after the warm-up: half a cosine, constant, or wsd (warm-up, stable,
    decay), which falls linearly at the end. With constant and wsd a run can be extended later at no
    loss."""
    decay_fraction: float = 0.2
    """For `wsd`: share of the run's steps in which the rate falls, [0, 1]."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to this; 0 disables clipping."""

    def __post_init__(self) -> None:
        positive("optimizer.lr", self.lr)
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"optimizer.betas = {self.betas}: two numbers in [0, 1)",
        )
        require(
            0 <= self.weight_decay < math.inf,
            f"optimizer.weight-decay = {self.weight_decay:g}: must be at least 0 and finite",
        )
        at_least("optimizer.warmup-steps", self.warmup_steps, -1)
        require(
            0 <= self.final_lr_fraction <= 1,
            f"optimizer.final-lr-fraction = {self.final_lr_fraction:g}: must be in [0, 1]",
        )
        require(
            0 < self.layer_decay <= 1,
            f"optimizer.layer-decay = {self.layer_decay:g}: must be in (0, 1]",
        )
        require(
            self.schedule in ("cosine", "constant", "wsd"),
            f"optimizer.schedule = {self.schedule}: must be cosine, constant or wsd",
        )
        require(
            0 <= self.decay_fraction <= 1,
            f"optimizer.decay-fraction = {self.decay_fraction:g}: must be in [0, 1]",
        )
        require(
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
    """Optimizer steps of the whole run; the learning rate schedule spans them. May be raised when
    the run is resumed: then the schedule spans the new number."""
    seed: int = 0
    """Determines initial weights, batches and augmentation."""
    init_from: str = ""
    """Weights to start from: a file of torchvision's (.pth, .safetensors), an exported folder, or
    another run's folder; empty for random weights."""
    init_towers: Literal["both", "video", "audio"] = "both"
    """Towers that are loaded from there."""
    freeze: Literal["none", "video", "audio", "both"] = "none"
    """Loaded towers whose weights and statistics stay as they are; heads are always trained."""
    lock_batch_norm: bool = False
    """Towers normalize with their running statistics in training and keep them, as is common for
    loaded weights."""
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
    milestone_every: int = 0
    """Steps between checkpoints that are kept for good; 0 for none. A multiple of
    `--checkpoint-every`."""
    background_checkpoints: bool = True
    """Write checkpoints while training continues, which takes their size in host memory."""
    ema_decay: float = 0.0
    """Decay of a moving average of the weights, such as 0.999; 0 for none. Evaluations during
    training use the average, and `evaluate`, `export` and `embed` with `--average`."""
    eval_every: int = 0
    """Steps between retrieval evaluations on held-out movies; 0 for only the last step."""
    eval_clips: int = 2048
    """Upper bound on held-out clips, of whole movies, in evaluations during training."""
    eval_probes: bool = False
    """Also measure in these evaluations how well features reveal which movie a clip is from."""
    eval_labels: str = ""
    """CSV with the columns source, start_seconds, end_seconds, label, or labels of the dataset such
    as labels.mood: also fit a class probe in these evaluations, on at most as many training clips;
    empty for none."""
    tensorboard: bool = True
    """Also write TensorBoard events into the run folder: curves, and at each evaluation frames,
    spectrograms and histograms of the weights."""
    trackers: tuple[Literal["wandb", "trackio"], ...] = ()
    """Services that also get the metrics; each has to be installed."""
    project: str = "reelshards"
    """Name of the project in these services."""
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
            at_least(flag("", name), getattr(self, name), 1)
        for name in ("eval_every", "stop_at_step", "milestone_every"):
            at_least(flag("", name), getattr(self, name), 0)
        at_least("eval-clips", self.eval_clips, 1)
        require(
            self.keep_checkpoints >= 2,
            f"keep-checkpoints = {self.keep_checkpoints}: must be at least 2, because the newest "
            "may be incomplete while it is written",
        )
        require(
            self.memory_gib == "auto" or float(self.memory_gib) > 0,
            f"memory-gib = {self.memory_gib}: must be auto or above 0",
        )
        require(
            self.milestone_every % self.checkpoint_every == 0,
            f"milestone-every = {self.milestone_every}: must be a multiple of checkpoint-every = "
            f"{self.checkpoint_every}",
        )
        require(0 <= self.ema_decay < 1, f"ema-decay = {self.ema_decay:g}: must be in [0, 1)")
        self._check_negatives()
        self._check_initial_weights()
        warmup = self.optimizer.warmup(self.steps)
        require(
            warmup <= self.steps,
            f"optimizer.warmup-steps = {warmup} exceeds steps = {self.steps}; lower it, or use -1 "
            "for a share of the run",
        )

    def _check_initial_weights(self) -> None:
        for name, default in (
            ("init_towers", "both"),
            ("freeze", "none"),
            ("lock_batch_norm", False),
        ):
            require(
                bool(self.init_from) or getattr(self, name) == default,
                f"{flag('', name)} = {getattr(self, name)}: acts on loaded weights; set init-from",
            )
        require(
            self.init_towers == "both" or self.freeze in ("none", self.init_towers),
            f"freeze = {self.freeze}: would keep random weights, because only the "
            f"{self.init_towers} tower is loaded (init-towers)",
        )

    def _check_negatives(self) -> None:
        """Every phase of the schedule must give the loss positives and negatives."""
        for policy in self.policy.phases().values():
            m, k = policy.movies_per_batch, policy.clips_per_group
            require(
                m * k >= 2,
                "policy: a batch of one clip has no negatives; set policy.movies-per-batch or "
                "policy.clips-per-movie to 2 or more",
            )
            self.loss.check_batch(m, k)
