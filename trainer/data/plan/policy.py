"""What a batch consists of. All defaults are our own and configurable; none comes from a paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from shards_spec.dataset.duplicates import KIND_COLUMN
from shards_spec.dataset.labels.columns import is_label_column
from shards_spec.errors import PolicyError, require
from shards_spec.recipe import NANOSECONDS
from trainer.data.plan.row_filter import check_columns, check_where, columns_of

_require = partial(require, "batch policy")


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """Every global batch holds exactly m movies and exactly k clips of each; or, with a number e of
    episodes per group, exactly m groups, e movies of each, and k clips of each of these."""

    movies_per_batch: int = 8
    """m: distinct movies in a global batch."""
    clips_per_movie: int = 8
    """k: distinct clips of each movie in a batch; 1 is the baseline without within-movie
    negatives."""
    reads_per_movie: int = 1
    """r: ranged reads that a movie's k clips come from, k / r consecutive clips each. More reads
    mix clips better and cost more requests: `trainer plan` shows how many pairs meet again; the
    recipes use 4. Where r does not divide k, the largest smaller number that does is used."""
    min_gap_seconds: float = 0.0
    """Minimum time between the starts of two clips of one movie in a batch; at 0 they merely must
    not overlap."""
    schedule: str = ""
    """Changes of k during training as STEP:K pairs: "1000:4 5000:16" sets k to 4 from
    step 1000 on and to 16 from step 5000 on; empty for none. A change begins a new epoch."""
    schedule_keeps: Literal["batch", "movies"] = "batch"
    """What stays constant when k changes: the number of clips in a batch (m changes too), or m."""
    weighting_exponent: float = 1.0
    """How the share of a movie in an epoch grows with its length: 1 uses each of its clips once; 0
    gives no movie more clips than the median movie has; values between interpolate. Which clips are
    left out changes from epoch to epoch; no clip is used twice in an epoch."""
    data_weights: tuple[float, ...] = ()
    """Of several datasets, in their order: shares of the movies (or groups) of a batch, such as 2 1
    for two thirds and one third; empty for shares in proportion to their eligible clips. Each step
    has the number below or above the share, and an epoch has the shares exactly; it ends when the
    first dataset is used up."""
    where: str = ""
    """Filter on columns of the index, such as: motion > 1 and audio_rms_dbfs > -50; and on labels,
    such as: labels.mood == 'sad' or 'bye' in text.subtitles; empty selects all clips."""
    group_by: Literal["movie_id", "group"] = "movie_id"
    """What counts as a movie in a batch: the movie, or its group (show, franchise)."""
    episodes_per_group: int = 0
    """e: distinct movies (episodes) of each group (show) in a batch, with k clips of each; 0 takes
    the k clips of a group from any of its movies. Needs `--policy.group-by group`."""
    joined_clips: int = 1
    """Neighboring clips of a movie that are joined into one longer clip. A clip is then eligible if
    so many clips follow each other without a gap from it on; in an epoch, each clip begins a joined
    one at most once."""
    heldout_fraction: float = 0.0
    """Share of groups withheld from training, no matter how batches are grouped. They are chosen by
    a hash of their names, so that none changes sides as the dataset grows. Movies from the same
    source count as one group."""
    heldout_offset: float = 0.0
    """Where the held-out share begins among the hashes, [0, 1): with a share of 0.2, the offsets 0,
    0.2, ... 0.8 hold out five disjoint sets, together all movies, as in cross-validation."""
    split: Literal["all", "train", "heldout"] = "all"
    """Which side of that split to use."""

    def __post_init__(self) -> None:
        for name in ("movies_per_batch", "clips_per_movie", "reads_per_movie", "joined_clips"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} = {value}: must be at least 1")
        gap = self.min_gap_seconds
        _require(0.0 <= gap < 1e6, f"min_gap_seconds = {gap}: must be at least 0 seconds")
        exponent = self.weighting_exponent
        _require(
            0.0 <= exponent <= 1.0, f"weighting_exponent = {exponent}: must be between 0 and 1"
        )
        _require(
            self.group_by in ("movie_id", "group"),
            f"group_by = {self.group_by!r}: must be movie_id or group",
        )
        episodes = self.episodes_per_group
        _require(episodes >= 0, f"episodes_per_group = {episodes}: must be at least 0")
        _require(
            episodes == 0 or self.group_by == "group",
            f"episodes_per_group = {episodes} needs group_by = group",
        )
        _require(
            self.split in ("all", "train", "heldout"),
            f"split = {self.split!r}: must be all, train or heldout",
        )
        fraction = self.heldout_fraction
        _require(
            0.0 <= fraction < 1.0, f"heldout_fraction = {fraction}: must be at least 0 and below 1"
        )
        offset = self.heldout_offset
        _require(0.0 <= offset < 1.0, f"heldout_offset = {offset}: must be at least 0 and below 1")
        _require(
            self.split != "heldout" or fraction > 0.0,
            "split = 'heldout' needs a heldout_fraction above 0",
        )
        _require(
            self.schedule_keeps in ("batch", "movies"),
            f"schedule_keeps = {self.schedule_keeps!r}: must be batch or movies",
        )
        for weight in self.data_weights:
            _require(
                0.0 < weight < 1e9, f"data_weights = {weight:g}: must be above 0 and below 1e9"
            )
        self.phases()
        check_where(self.where)

    def phases(self) -> dict[int, BatchPolicy]:
        """First step -> the policy (without schedule) from that step on, in order, from step 0."""
        phases = {0: dataclasses.replace(self, schedule="") if self.schedule else self}
        last = -1
        for item in self.schedule.split():
            step, _, k = item.partition(":")
            _require(
                step.isdecimal() and k.isdecimal(),
                f"schedule: {item!r} is not of the form STEP:K",
            )
            _require(int(step) > last, f"schedule: step {step} is not after step {last}")
            last = int(step)
            phases[last] = self._with_k(int(k))
        return phases

    def at_step(self, steps_done: int) -> BatchPolicy:
        """The policy (without schedule) of the next step after `steps_done` steps of the run."""
        if not self.schedule:
            return self
        phases = self.phases()
        return phases[max(step for step in phases if step <= steps_done)]

    def changes_at(self, steps_done: int) -> bool:
        """Whether the schedule begins a new phase after `steps_done` steps of the run."""
        return steps_done > 0 and bool(self.schedule) and steps_done in self.phases()

    def _with_k(self, k: int) -> BatchPolicy:
        _require(k >= 1, f"schedule: k = {k}: must be at least 1")
        m = self.movies_per_batch
        if self.schedule_keeps == "batch":
            _require(
                self.batch_size % (k * self.num_episodes) == 0,
                f"schedule: the batch of {self.batch_size} clips is not a multiple of k = {k}"
                + (f" x {self.num_episodes} episodes" if self.num_episodes > 1 else "")
                + "; choose another k, or set schedule_keeps = movies",
            )
            m = self.batch_size // (k * self.num_episodes)
        return dataclasses.replace(self, schedule="", movies_per_batch=m, clips_per_movie=k)

    @property
    def batch_size(self) -> int:
        """Clips of a global batch, m * k, or m * e * k."""
        return self.movies_per_batch * self.clips_per_group

    @property
    def num_episodes(self) -> int:
        """`episodes_per_group`, 1 where that is 0."""
        return max(1, self.episodes_per_group)

    @property
    def clips_per_group(self) -> int:
        """Clips of each group in a batch, k or e * k."""
        return self.num_episodes * self.clips_per_movie

    @property
    def rho(self) -> float:
        """Share of a clip's negatives that come from its own group (by default its movie),
        (k - 1) / (m k - 1), or (e k - 1) / (m e k - 1)."""
        return (self.clips_per_group - 1) / max(1, self.batch_size - 1)

    @property
    def chunk_clips(self) -> int:
        """Clips of a chunk, which one ranged read covers: k / `num_reads`."""
        return self.clips_per_movie // self.num_reads

    @property
    def num_reads(self) -> int:
        """The largest divisor of k that is at most `reads_per_movie`."""
        k = self.clips_per_movie
        return next(r for r in range(min(self.reads_per_movie, k), 0, -1) if k % r == 0)

    @property
    def min_gap_ns(self) -> int:
        """`min_gap_seconds` in nanoseconds."""
        return round(self.min_gap_seconds * NANOSECONDS)

    def movies_per_rank(self, world_size: int) -> int:
        """m / world_size. Raises `PolicyError` unless it is an integer."""
        if world_size < 1 or self.movies_per_batch % world_size:
            raise PolicyError(
                f"movies_per_batch = {self.movies_per_batch} cannot be divided equally among "
                f"{world_size} ranks; set it to a multiple of {world_size}"
            )
        return self.movies_per_batch // world_size

    def check_world_size(self, world_size: int) -> None:
        """Raise `PolicyError` unless every phase's movies can be divided among the ranks."""
        for step, phase in self.phases().items():
            with naming_phase(self, step):
                phase.movies_per_rank(world_size)

    @property
    def where_columns(self) -> list[str]:
        """Names of the index columns that `where` reads, sorted."""
        return columns_of(self.where)

    def check_where_columns(self, names: Sequence[str]) -> None:
        """Raise `InputError` for the first column of `where` that is not among `names`.

        Columns that come from other tables, of labels and near-duplicates, are accepted.
        """
        of_labels = filter(is_label_column, self.where_columns)
        check_columns(self.where, [*names, KIND_COLUMN, *of_labels])

    def to_json(self) -> dict[str, Any]:
        """Plain values, in field order."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> BatchPolicy:
        """Inverse of `to_json`. Raises `InputError` on fields unknown to this version."""
        known = {field.name for field in dataclasses.fields(BatchPolicy)}
        unknown = sorted(set(values) - known)
        _require(not unknown, f"unknown settings {unknown}, written by a newer reelshards")
        weights = values.get("data_weights", ())
        return BatchPolicy(**{**values, "data_weights": tuple(weights)})


@contextmanager
def naming_phase(policy: BatchPolicy, step: int) -> Iterator[None]:
    """Prefix a `PolicyError` raised inside with the phase of the schedule that starts at `step`."""
    try:
        yield
    except PolicyError as error:
        if not policy.schedule:
            raise
        named = f"schedule = {policy.schedule!r}, from step {step} on: {error}"
        raise PolicyError(named) from error
