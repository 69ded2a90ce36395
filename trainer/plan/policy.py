"""What a batch is made of. The numbers are settings of ours; none is taken from a paper."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import require
from shards_spec.recipe import NANOSECONDS
from trainer.plan.row_filter import check_where

_require = partial(require, "batch policy")


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """Every global batch holds exactly m movies and exactly k clips of each."""

    movies_per_batch: int = 8
    """m: distinct movies in a global batch."""
    clips_per_movie: int = 8
    """k: distinct clips of each movie in a batch; 1 gives the baseline without within-movie
    negatives."""
    reads_per_movie: int = 1
    """r: places of a movie that its k clips are read from, k / r neighbours in storage at each.
    More reads mix better and cost more requests: `trainer plan` shows how many pairs meet again;
    the recipes use 4. Must divide clips_per_movie."""
    min_gap_seconds: float = 0.0
    """Least time between the starts of two clips of one movie in a batch; at 0 they only must not
    overlap."""
    schedule: str = ""
    """k over training, as steps and values: "1000:4 5000:16" sets clips_per_movie to 4 from step
    1000 on, and to 16 from step 5000 on; empty keeps it. A change begins a new epoch."""
    schedule_keeps: Literal["batch", "movies"] = "batch"
    """What stays when k changes: the clips of a batch, so that m changes too, or m."""
    weighting_exponent: float = 1.0
    """How much more of an epoch longer movies get: 1 by clips, each is used once; 0 by film, none
    gets more than the median one; between them tempered. What is left out changes from epoch to
    epoch, and never is a clip used twice in one."""
    where: str = ""
    """Filter on columns of the index, such as: motion > 1 and audio_rms_dbfs > -50; empty for all
    clips."""
    group_by: Literal["movie_id", "group"] = "movie_id"
    """What counts as a movie in a batch: the movie, or its group (show, franchise)."""
    heldout_fraction: float = 0.0
    """Share of movies (or groups) kept from training, chosen by a hash of their ids, so that none
    changes sides as the dataset grows; a group is kept whole."""
    split: Literal["all", "train", "heldout"] = "all"
    """Which side of that division to take."""

    def __post_init__(self) -> None:
        for name in ("movies_per_batch", "clips_per_movie", "reads_per_movie"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} = {value}: at least 1")
        k, r = self.clips_per_movie, self.reads_per_movie
        _require(k % r == 0, f"reads_per_movie = {r} must divide clips_per_movie = {k}")
        gap = self.min_gap_seconds
        _require(0.0 <= gap < 1e6, f"min_gap_seconds = {gap}: at least 0 seconds")
        exponent = self.weighting_exponent
        _require(0.0 <= exponent <= 1.0, f"weighting_exponent = {exponent}: between 0 and 1")
        _require(
            self.group_by in ("movie_id", "group"),
            f"group_by = {self.group_by!r}: movie_id or group",
        )
        _require(
            self.split in ("all", "train", "heldout"),
            f"split = {self.split!r}: all, train or heldout",
        )
        fraction = self.heldout_fraction
        _require(0.0 <= fraction < 1.0, f"heldout_fraction = {fraction}: at least 0, less than 1")
        _require(
            self.split != "heldout" or fraction > 0.0,
            "split = 'heldout' needs a heldout_fraction above 0",
        )
        _require(
            self.schedule_keeps in ("batch", "movies"),
            f"schedule_keeps = {self.schedule_keeps!r}: batch or movies",
        )
        self.phases()
        check_where(self.where)

    def phases(self) -> dict[int, BatchPolicy]:
        """The policies without schedule that hold from a step on, in order; the first from 0."""
        found = {0: dataclasses.replace(self, schedule="") if self.schedule else self}
        last = -1
        for item in self.schedule.split():
            step, _, k = item.partition(":")
            _require(
                step.isdecimal() and k.isdecimal(),
                f"schedule: {item!r} is not of the form STEP:K",
            )
            _require(int(step) > last, f"schedule: step {step} does not come after step {last}")
            last = int(step)
            found[last] = self._with_k(int(k))
        return found

    def at_step(self, steps_done: int) -> BatchPolicy:
        """The policy without schedule of the step after so many steps of the run."""
        if not self.schedule:
            return self
        phases = self.phases()
        return phases[max(step for step in phases if step <= steps_done)]

    def changes_at(self, steps_done: int) -> bool:
        """Whether the schedule begins a new phase after so many steps."""
        return steps_done > 0 and bool(self.schedule) and steps_done in self.phases()

    def _with_k(self, k: int) -> BatchPolicy:
        _require(k >= 1, f"schedule: {k} clips of each movie: at least 1")
        m = self.movies_per_batch
        if self.schedule_keeps == "batch":
            _require(
                self.batch_size % k == 0,
                f"schedule: a batch of {self.batch_size} clips is no multiple of k = {k}; choose "
                "another k, or schedule_keeps = movies",
            )
            m = self.batch_size // k
        # A chunk must not be split: as many reads as asked for, or the next number that divides k.
        reads = math.gcd(self.reads_per_movie, k)
        return dataclasses.replace(
            self, schedule="", movies_per_batch=m, clips_per_movie=k, reads_per_movie=reads
        )

    @property
    def batch_size(self) -> int:
        """Clips of a global batch, m * k."""
        return self.movies_per_batch * self.clips_per_movie

    @property
    def rho(self) -> float:
        """Share of a clip's negatives that are of its own movie, (k - 1) / (m k - 1)."""
        return (self.clips_per_movie - 1) / max(1, self.batch_size - 1)

    @property
    def chunk_clips(self) -> int:
        """Clips of a chunk, the unit that is read at one place: k / r."""
        return self.clips_per_movie // self.reads_per_movie

    @property
    def min_gap_ns(self) -> int:
        """`min_gap_seconds` in nanoseconds."""
        return round(self.min_gap_seconds * NANOSECONDS)

    def to_json(self) -> dict[str, Any]:
        """Plain values, in field order."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> BatchPolicy:
        """Inverse of `to_json`; fields that this version does not know are refused."""
        known = {field.name for field in dataclasses.fields(BatchPolicy)}
        unknown = sorted(set(values) - known)
        _require(not unknown, f"unknown settings {unknown}; a newer reelshards wrote them")
        return BatchPolicy(**values)


def heldout(movie_ids: Sequence[str], fraction: float) -> NDArray[np.bool_]:
    """(len(movie_ids),) bool: the movies that are held out.

    A movie is held out when the hash of its id, a number in [0, 1), is below `fraction`: that needs
    no knowledge of other movies. Where no movie qualifies, the one of least hash is held out, so
    that there is always something to evaluate; this one may change while a dataset is that small.
    """
    if fraction <= 0.0 or not movie_ids:
        return np.zeros(len(movie_ids), dtype=bool)
    hashes = np.array([_unit_hash(movie_id) for movie_id in movie_ids])
    chosen: NDArray[np.bool_] = hashes < fraction
    if not chosen.any():
        chosen[np.argmin(hashes)] = True
    return chosen


def _unit_hash(text: str) -> float:
    digest = hashlib.sha256(text.encode()).digest()
    # 53 bits fit a float exactly, so the number is below 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / float(1 << 53)
