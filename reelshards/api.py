"""The functions of the Python API. Each imports what it needs when it is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelshards.packages import attribute, sorted_settings
from shards_spec.dataset.reader import Dataset
from shards_spec.dataset.reader import open_dataset as _open_dataset
from shards_spec.recipe import Recipe

if TYPE_CHECKING:
    from reelshards.encoder import Encoder
    from shards_spec.dataset.validation import Report
    from trainer.config import TrainConfig
    from trainer.data.loader import StreamConfig
    from trainer.data.plan import BatchPolicy
    from trainer.data.stream import ClipStream
    from trainer.plan_report import PlanReport
    from trainer.runs.evaluate.result import Evaluation
    from trainer.train import TrainOutcome

Data = Dataset | str | Path
"""An opened dataset, or its URI."""


def open_dataset(uri: str | Path) -> Dataset:
    """Open a dataset: its tables are read, its clips only when they are asked for.

    Raises:
        InputError: there is no dataset, or it has another major version of the format.
        FormatError: its index cannot be read.
        StorageError: the store cannot be read.
    """
    return _open_dataset(str(uri))


def validate(uri: str | Path | Dataset, *, quick: bool = False, num_threads: int = 4) -> Report:
    """Check a dataset against the format; `Report.ok` says whether all checks passed.

    Args:
        uri: of the dataset, or an opened one.
        quick: leave out the checks that read the clips' bytes.
        num_threads: movies that are checked concurrently.

    Raises:
        InputError: there is no dataset, or it has another major version of the format.
        StorageError: the store cannot be read.
    """
    storage = uri.storage if isinstance(uri, Dataset) else str(uri)
    check = attribute("shards_spec.dataset.validation", "validate")
    report: Report = check(storage, quick=quick, num_threads=num_threads)
    return report


def stream(
    dataset: Data | Sequence[Data],
    movies_per_batch: int = 8,
    clips_per_movie: int = 8,
    seed: int = 0,
    *,
    policy: BatchPolicy | None = None,
    config: StreamConfig | None = None,
    epoch: int = 0,
    step: int = 0,
    steps_done: int = 0,
    window: float = 1.0,
    **settings: Any,
) -> ClipStream:
    """Batches of `movies_per_batch` movies with `clips_per_movie` clips each, for any loop.

    The stream never ends: `num_steps_per_epoch` says how many batches an epoch has. Under torchrun
    each rank gets its own part of every global batch. Equal dataset, policy and seed give equal
    batches; `stream.state()` has the epoch, step and steps_done from which to resume.

    Args:
        dataset: an opened dataset, or its URI; or several, of which `data_weights` says how many
            movies of a batch are from each. `stream.dataset` has the rows of all of them.
        movies_per_batch: movies in a global batch; must be divisible by the number of ranks.
        clips_per_movie: clips of each movie in a batch.
        seed: of the batch plan.
        policy: all settings of the batch plan; replaces the two numbers above.
        config: how clips are loaded; by default with crops no larger than the stored frames.
        epoch: epoch to begin in.
        step: step of that epoch to begin with.
        steps_done: steps of the run so far, by which a schedule in `policy` counts.
        window: share of each clip that is used, from a random frame on: temporal jitter, the same
            as `augment.window` in training. `start_ns` is the start of the window.
        **settings: fields of `BatchPolicy` and `StreamConfig` that replace those above, such as
            `group_by="group", episodes_per_group=2`, `joined_clips=2` or `frame_size=96`.

    Raises:
        PolicyError: the dataset cannot provide such batches, or not to this number of ranks.
        InputError: no such step, or settings that do not fit the dataset.
    """
    opened = _opened(dataset)
    if policy is None:
        kind = attribute("trainer.data.plan", "BatchPolicy")
        policy = kind(movies_per_batch=movies_per_batch, clips_per_movie=clips_per_movie)
    config = config or _stream_config(opened.recipe)
    of_policy, of_config = sorted_settings(settings, type(policy), type(config))
    policy = dataclasses.replace(policy, **of_policy)
    config = dataclasses.replace(config, **of_config)
    start = {"seed": seed, "epoch": epoch, "step": step, "steps_done": steps_done}
    return _clip_stream(opened, policy, config, window, start)


def _clip_stream(
    opened: Dataset, policy: BatchPolicy, config: StreamConfig, window: float, start: dict[str, int]
) -> ClipStream:
    """This rank's stream, of whole clips or of windows of them; `start` says where it begins."""
    rank, world_size = attribute("trainer.ranks.world", "rank_and_world_size")()
    kind, more = ("trainer.data.stream", "ClipStream"), {}
    if window != 1.0:
        kind, more = ("trainer.runs.learning.window", "WindowedStream"), {"window": window}
    clips: ClipStream = attribute(*kind)(
        opened, policy, config, **more, **start, rank=rank, world_size=world_size
    )
    return clips


def plan_report(
    dataset: Data | Sequence[Data], policy: BatchPolicy, *, seed: int = 0, epoch: int = 0
) -> PlanReport:
    """What a batch policy yields on a dataset: steps, clips used and unused, reads, repeats.

    Raises:
        PolicyError: the dataset cannot provide such batches.
        InputError: the policy's filter names an unknown column.
    """
    opened = _opened(dataset)
    index = attribute("trainer.data.plan", "ClipIndex").from_dataset(opened, policy)
    report: PlanReport = attribute("trainer.plan_report", "describe")(index, seed, epoch)
    return report


def train(
    data: Data | Sequence[Data], run: str | Path, config: TrainConfig | str = "auto"
) -> TrainOutcome:
    """Train a model, or resume training it, in the folder `run`.

    Args:
        data: URI of the dataset, or an opened one; or several, of which `policy.data_weights` says
            how many movies of a batch are from each.
        run: folder of the run: metrics.jsonl, config.json, checkpoints/.
        config: all settings, or the name of a recipe (`small`, `r2plus1d18`, ...); `auto` is
            `r2plus1d18` with a GPU, else `small`, or the settings of the run in that folder.

    Raises:
        InputError: the dataset is unusable, or the folder holds a run with other settings.
        NonFiniteStepError: training diverged; the newest checkpoint is from an earlier step.
    """
    settings = _train_config(config, run) if isinstance(config, str) else config
    outcome: TrainOutcome = attribute("trainer.train", "train")(_uris(data), run, settings)
    return outcome


def evaluate(
    data: Data | Sequence[Data],
    run: str | Path,
    labels: str | Path | None = None,
    label_column: str = "",
) -> Evaluation:
    """Evaluate the newest checkpoint of a run on movies that it did not train on.

    Args:
        data: URI of the dataset, or an opened one; of several, each is evaluated as well.
        run: folder of the run.
        labels: CSV with the columns source, start_seconds, end_seconds, label, for the class probe.
        label_column: column of the clips table that is the class instead.

    Raises:
        InputError: the run, the dataset or the labels cannot be used.
    """
    evaluation: Evaluation = attribute("trainer.runs.evaluate.evaluation", "judge")(
        _uris(data), run, None if labels is None else Path(labels), label_column
    ).evaluation
    return evaluation


def load(
    path: str | Path, *, best: bool = False, average: bool = False, device: str = ""
) -> Encoder:
    """The encoders of a run folder (newest checkpoint), also in a bucket, or of an exported folder.

    Args:
        path: the folder.
        best: of a run, the checkpoint whose evaluation was best instead of the newest.
        average: of a run with `ema_decay`, the moving average of the weights.
        device: such as `cpu` or `cuda:1`; by default this process's GPU if it has one.

    Raises:
        InputError: the folder holds neither, or a run without a checkpoint.
    """
    load_encoder = attribute("reelshards.encoder", "load_encoder")
    encoder: Encoder = load_encoder(path, best=best, average=average, device=device)
    return encoder


def _several(data: Data | Sequence[Data]) -> Sequence[Data]:
    return [data] if isinstance(data, Dataset | str | Path) else data


def _uris(data: Data | Sequence[Data]) -> list[str]:
    return [one.storage.uri if isinstance(one, Dataset) else str(one) for one in _several(data)]


def _opened(data: Data | Sequence[Data]) -> Dataset:
    opened = [one if isinstance(one, Dataset) else open_dataset(one) for one in _several(data)]
    mixed: Dataset = attribute("trainer.data.mix.mixed_dataset", "mix")(opened)
    return mixed


def _stream_config(recipe: Recipe) -> StreamConfig:
    """The default settings, with crops no larger than the stored frames."""
    default: StreamConfig = attribute("trainer.data.loader", "StreamConfig")()
    frame_size = min(default.frame_size, recipe.short_side)
    return dataclasses.replace(default, frame_size=frame_size)


def _train_config(name: str, run: str | Path) -> TrainConfig:
    """The settings of a recipe by name; with `auto`, those of the run if there is one."""
    saved: TrainConfig | None = None
    if name == "auto":
        saved = attribute("trainer.runs.config_file", "resumed_config")(run)
    if saved is not None:
        return saved
    config: TrainConfig = attribute("trainer.config.recipes", "recipe")(name)
    return config
