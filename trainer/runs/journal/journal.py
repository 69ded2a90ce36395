"""What a launch records while it trains: metric lines for machines and one line for people."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

from shards_spec.errors import ReelshardsError
from trainer.config import TrainConfig
from trainer.console import StepBar, duration_text, say
from trainer.data.fetch.counters import StreamStats
from trainer.data.stream import Batch, ClipStream
from trainer.models import TwoTowers
from trainer.ranks import DataSupply, Readback
from trainer.ranks.world import World
from trainer.runs.config_file import config_to_json
from trainer.runs.journal.load import Load, load_text
from trainer.runs.journal.metric_log import MetricLog
from trainer.runs.learning.loss import Diagnostics
from trainer.trackers import open_trackers

#: Clips of a batch that are shown as images.
SHOWN_CLIPS = 4


class NonFiniteStepError(ReelshardsError):
    """A loss or gradient became NaN or infinite; the message names the step and its clips."""

    exit_code = 1


@dataclass(frozen=True)
class StepResult:
    """The outcome of a step; tensors stay on the device until a number is needed."""

    loss: torch.Tensor
    """() float32 over this rank's rows."""
    diagnostics: Diagnostics
    grad_norm: torch.Tensor
    """() float32, before clipping."""
    logit_scale: torch.Tensor
    """() float32."""
    learning_rate: float
    batch: Batch
    is_finite: Readback
    """1 if loss and gradient norm are finite, else 0; on its way to the host."""

    def require_finite(self, step: int) -> None:
        """Raise `NonFiniteStepError` if loss or gradient norm of this step is NaN or infinite.

        A finite loss is not enough: clipping turns a gradient with one NaN into NaN weights.
        """
        if self.is_finite.item():
            return
        batch = self.batch
        raise NonFiniteStepError(
            f"step {step} has loss {float(self.loss)} and gradient norm {float(self.grad_norm)} "
            f"(epoch {batch.epoch}, batch {batch.step}, clips in index rows "
            f"{batch.clip.tolist()}); no checkpoint was written after it; inspect these clips, or "
            "lower optimizer.lr in a new run"
        )


class Journal:
    """Measures the time of a launch and writes its lines; a context manager.

    Every rank's journal measures, only the first rank's writes.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        first_step: int,
        load: Load,
        *,
        writes: bool,
        uri: str = "",
    ) -> None:
        """`uri` is that of a run in a bucket."""
        self._config, self._load = config, load
        self._stack = ExitStack()
        self._log: MetricLog | None = None
        if writes:
            names, values = config.trackers, config_to_json(config)
            trackers = self._stack.enter_context(
                open_trackers(names, config.project, run, values, identity=uri)
            )
            log = MetricLog(run, first_step, tensorboard=config.tensorboard, trackers=trackers)
            self._log = self._stack.enter_context(log)
        self._bar = StepBar(first_step, config.steps, is_shown=writes)
        self._since = time.perf_counter()
        self._wait_seconds = 0.0
        self._num_steps = self._num_clips = 0
        self._stats = StreamStats.none()

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; the time spent waiting for each is counted."""
        iterator = iter(batches)
        self._since = time.perf_counter()
        while True:
            begin = time.perf_counter()
            batch = next(iterator)
            self._wait_seconds += time.perf_counter() - begin
            self._num_steps += 1
            self._num_clips += len(batch.clip)
            yield batch
            self._bar.advance()

    def train_values(
        self, steps_done: int, world: World, stream: ClipStream, result: StepResult
    ) -> dict[str, float]:
        """Metrics of this step; every rank must call it. Speeds are averages since the last call.

        The first rank also prints its line.
        """
        names = ["loss", *(item.name for item in dataclasses.fields(Diagnostics))]
        stacked = torch.stack((result.loss, *result.diagnostics.stacked()))
        means = dict(zip(names, world.mean(stacked).tolist(), strict=True))
        # Reading the numbers waited for the device, so the clock now covers whole steps.
        seconds = max(time.perf_counter() - self._since, 1e-9)
        stats = stream.stats()
        occupancy = stats.occupancy(
            self._stats,
            seconds,
            num_readers=self._config.stream.num_readers,
            num_decoders=self._config.stream.num_decoders,
        )
        # The loop's own wait includes the construction of the batch, which the stream's does not.
        occupancy = dataclasses.replace(occupancy, wait=self._wait_seconds / seconds)
        supply = DataSupply.of(world, occupancy, stats)
        num_clips = self._num_clips * world.world_size
        values = {
            **{f"train/{name}": value for name, value in means.items()},
            "train/logit_scale": float(result.logit_scale),
            "optim/lr": result.learning_rate,
            "optim/grad_norm": float(result.grad_norm),
            "throughput/clips_per_second": num_clips / seconds,
            **self._load.metrics(self._num_clips / seconds),
            "time/step_seconds": seconds / max(1, self._num_steps),
            **supply.metrics(),
        }
        self.restart_clock(stream)
        if self._log is not None:
            say(_line(steps_done, self._config.steps, values, supply.occupancy.bottleneck))
        return values

    def restart_clock(self, stream: ClipStream) -> None:
        """Exclude the time since the last `train_values`, for example an evaluation."""
        # The loaders kept filling the queue in the meantime: their time is excluded as well.
        self._stats = stream.stats()
        self._since, self._wait_seconds = time.perf_counter(), 0.0
        self._num_steps = self._num_clips = 0

    def write(self, steps_done: int, epoch: int, values: dict[str, float]) -> None:
        """Write the metrics of a step, if there are any."""
        if self._log is not None and values:
            self._log.write(steps_done, epoch, values)

    def show(self, steps_done: int, batch: Batch, model: TwoTowers) -> None:
        """Show what the model sees and how its weights are distributed, in TensorBoard."""
        if self._log is None or not self._config.tensorboard:
            return
        weights = {f"weights/{name}": value for name, value in model.named_parameters()}
        self._log.show(steps_done, batch_images(batch), weights)

    def __enter__(self) -> Journal:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        self._stack.close()


def say_unreached(config: TrainConfig) -> None:
    """Warn about phases of the schedule that begin after the last step."""
    unreached = [str(step) for step in config.policy.phases() if step >= config.steps]
    if unreached:
        say(
            f"policy.schedule: the phases from step {', '.join(unreached)} on are never reached "
            f"in {config.steps} steps"
        )


def _line(steps_done: int, num_steps: int, values: dict[str, float], bottleneck: str) -> str:
    width = len(str(num_steps))
    within = values["train/within_movie_r1"]
    return (
        f"step {steps_done:{width}}/{num_steps}  loss {values['train/loss']:.3f}  "
        f"R@1 within movie {'  - ' if within != within else f'{within:.2f}'}, "
        f"in batch {values['train/global_r1']:.2f}  "
        f"{values['throughput/clips_per_second']:.0f} clips/s  "
        f"waiting for data {values['data/wait_fraction']:.0%} (bottleneck: {bottleneck}), "
        f"{values['data/queue_batches']:.0f} batches ready  {load_text(values)}  "
        f"{duration_text(values['time/step_seconds'] * (num_steps - steps_done))} left"
    )


def batch_images(batch: Batch) -> dict[str, torch.Tensor]:
    """Frames and spectrograms of the first clips, (N, 3, H, W) float32 in [0, 1]."""
    frames_NTHWC = batch.frames[:SHOWN_CLIPS].cpu()
    num, count, height, width, _ = frames_NTHWC.shape
    strip_NHWC = frames_NTHWC.permute(0, 2, 1, 3, 4).reshape(num, height, count * width, 3)
    logmel_NML = batch.logmel[:SHOWN_CLIPS].cpu().float().flip(1)
    low, high = (getattr(logmel_NML, name)((1, 2), keepdim=True) for name in ("amin", "amax"))
    gray_NML = (logmel_NML - low) / (high - low).clamp(min=1e-6)
    return {
        "input/frames": strip_NHWC.permute(0, 3, 1, 2).float() / 255.0,
        "input/logmel": gray_NML[:, None].expand(-1, 3, -1, -1),
    }
