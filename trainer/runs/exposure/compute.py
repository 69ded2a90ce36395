"""Replays the batch plans of a run and counts which movies were in them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.plan.forecast.walk import PlanWalk
from trainer.data.stream import open_for_training
from trainer.runs.exposure.earlier_data import data_of_run, with_movies
from trainer.runs.exposure.stored_run import RunCheckpoint, StoredRun, read_run

#: What a run did with a movie.
TRAINED, WAITING, HELD_OUT, COPY, NOT_ELIGIBLE = (
    "trained",
    "eligible, not seen yet",
    "held out",
    "left out as a copy",
    "not eligible",
)


@dataclass(frozen=True)
class MovieExposure:
    """What a run has seen of a movie, up to its newest checkpoint."""

    movie_id: str
    use: str
    """What the run did with it: `trained`, `held out`, ..."""
    copy_of: str
    """The movie with the same source that was used instead; empty for none."""
    num_steps: int
    """Steps with clips of it."""
    num_clips: int
    """Clips of it over all steps, repeated ones included; of joined clips, each counts once."""
    first_step: int
    """From 1; 0 if it was never seen."""
    last_step: int
    steps_by_checkpoint: dict[str, int]
    """Steps with clips of it, for the weights of each checkpoint."""
    steps: tuple[int, ...] = ()
    """All steps with clips of it; only of movies that were asked for."""


@dataclass(frozen=True)
class Exposure:
    """What the checkpoints of a run have seen."""

    run: str
    data: tuple[str, ...]
    seed: int
    steps_done: int
    """Of the newest checkpoint."""
    init_from: str
    """Weights that the run started from, whose own exposure is not included; empty for none."""
    checkpoints: tuple[RunCheckpoint, ...]
    movies: tuple[MovieExposure, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def compute_exposure(
    run: str | Path, movies: Sequence[str] = (), data: Sequence[str] = ()
) -> Exposure:
    """Which movies the checkpoints of a run have seen.

    Args:
        run: run folder, also in a bucket.
        movies: ids of the movies to report, with every step; all movies without their steps when
            empty. Movies of several datasets are named `2:heat`.
        data: the datasets as they were when the run was launched last, if they are elsewhere now;
            `dataset.json` and `index/` are enough.

    Raises:
        InputError: there is no such run or movie, or the dataset is not the one of the run.
    """
    stored = read_run(run)
    uris = tuple(data) or stored.data
    # The policy's own filter on movies must not hide what was held out.
    dataset = data_of_run(open_for_training(uris, stored.config.policy), stored)
    names: list[str] = dataset.movies["movie_id"].to_pylist()
    _check_known(movies, names, stored)
    tally = _Tally.of(names, stored.checkpoints, movies)
    _replay(dataset, stored, tally)
    uses = _uses(dataset, stored.config.policy)
    reported = movies or names
    return Exposure(
        run=stored.uri,
        data=uris,
        seed=stored.config.seed,
        steps_done=stored.checkpoints[-1].step,
        init_from=str(stored.config.init_from),
        checkpoints=stored.checkpoints,
        movies=tuple(tally.movie(name, *uses.get(name, (NOT_ELIGIBLE, ""))) for name in reported),
    )


def _check_known(movies: Sequence[str], names: Sequence[str], stored: StoredRun) -> None:
    known = set(names)
    for name in movies:
        if name not in known:
            near = difflib.get_close_matches(name, names, 1)
            raise InputError(
                f"the data of {stored.uri} has no movie {name!r}"
                f"{f'; did you mean {near[0]}?' if near else ''}"
            )


@dataclass
class _Tally:
    """Counts by movie while the plan is replayed."""

    names: list[str]
    slots: dict[str, int]
    num_steps: NDArray[np.int64]
    num_clips: NDArray[np.int64]
    first_step: NDArray[np.int64]
    last_step: NDArray[np.int64]
    steps: dict[int, list[int]]
    """By slot, for the movies that were asked for."""
    by_checkpoint: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @staticmethod
    def of(names: list[str], checkpoints: Sequence[RunCheckpoint], asked: Sequence[str]) -> _Tally:
        slots = {name: number for number, name in enumerate(names)}
        zeros = np.zeros((4, len(names)), np.int64)
        asked_slots: dict[int, list[int]] = {slots[name]: [] for name in asked}
        return _Tally(names, slots, zeros[0], zeros[1], zeros[2], zeros[3], asked_slots)

    def add(self, slots_SN: NDArray[np.int64], steps_done: int) -> None:
        """Count the movies of consecutive steps, (steps, clips of a batch)."""
        ordered = np.sort(slots_SN, axis=1)
        is_first = np.diff(ordered, axis=1, prepend=-1) != 0
        step, place = np.nonzero(is_first)
        slot = ordered[step, place]
        number = steps_done + 1 + step
        self.num_steps += np.bincount(slot, minlength=len(self.names))
        self.num_clips += np.bincount(slots_SN.ravel(), minlength=len(self.names))
        unseen = np.full(len(self.names), np.iinfo(np.int64).max)
        np.minimum.at(unseen, slot, number)
        is_new = (self.first_step == 0) & (unseen != np.iinfo(np.int64).max)
        self.first_step[is_new] = unseen[is_new]
        np.maximum.at(self.last_step, slot, number)
        for asked, steps in self.steps.items():
            steps += number[slot == asked].tolist()

    def movie(self, name: str, use: str, copy_of: str) -> MovieExposure:
        slot = self.slots[name]
        num_steps = int(self.num_steps[slot])
        return MovieExposure(
            movie_id=name,
            use=TRAINED if num_steps else use,
            copy_of=copy_of,
            num_steps=num_steps,
            num_clips=int(self.num_clips[slot]),
            first_step=int(self.first_step[slot]),
            last_step=int(self.last_step[slot]),
            steps_by_checkpoint={
                checkpoint: int(counts[slot]) for checkpoint, counts in self.by_checkpoint.items()
            },
            steps=tuple(self.steps.get(slot, ())),
        )


def _replay(dataset: Dataset, stored: StoredRun, tally: _Tally) -> None:
    """Count the movies of every step up to the newest checkpoint."""
    last = stored.checkpoints[-1].step
    epochs = dict(stored.epochs)
    waiting = list(stored.checkpoints)
    epoch = step = done = 0
    for end, part in _stages(dataset, stored, last):
        index = ClipIndex.from_dataset(part, stored.config.policy)
        slot_of_row = _slots(part.clips, tally)
        # When movies are appended, the epoch ends.
        epoch, step = (epoch + 1, 0) if step else (epoch, 0)
        walk = PlanWalk(index, stored.config.seed, epoch=epoch, step=step, steps_done=done)
        for target in sorted({end, *(item.step for item in waiting if item.step < end)}):
            for stretch in walk.until(target):
                num_steps = len(stretch.clips)
                _check_epochs(epochs, stretch.epoch, stretch.steps_done, num_steps, stored)
                rows = stretch.clips.reshape(num_steps, -1)
                tally.add(slot_of_row[rows], stretch.steps_done)
            while waiting and waiting[0].step <= walk.steps_done:
                tally.by_checkpoint[waiting.pop(0).name] = tally.num_steps.copy()
        epoch, step, done = walk.epoch, walk.step, walk.steps_done


def _stages(dataset: Dataset, stored: StoredRun, last: int) -> Iterator[tuple[int, Dataset]]:
    """(last step, data) of the run between two changes of its data."""
    later = [set(change.added) for change in stored.changes]
    ends = [min(change.steps_done, last) for change in stored.changes] + [last]
    every = set(pc.unique(dataset.clips["movie_id"]).to_pylist())
    for number, end in enumerate(ends):
        missing = set().union(*later[number:])
        yield end, with_movies(dataset, every - missing) if missing else dataset


def _slots(clips: pa.Table, tally: _Tally) -> NDArray[np.int64]:
    """(num_rows,) slot of the movie of each row."""
    numbers = ClipIndex.movie_numbers(clips)
    _, firsts = np.unique(numbers, return_index=True)
    names = clips["movie_id"].take(pa.array(firsts)).to_pylist()
    slots = np.array([tally.slots[name] for name in names], dtype=np.int64)
    return slots[numbers]


def _check_epochs(
    epochs: dict[int, int], epoch: int, steps_done: int, num_steps: int, stored: StoredRun
) -> None:
    """Raise `InputError` when a metric line of these steps is from another epoch."""
    for number in range(steps_done + 1, steps_done + num_steps + 1):
        if epochs.get(number, epoch) != epoch:
            raise InputError(
                f"{stored.uri} was in epoch {epochs[number]} at step {number}, but its settings "
                f"and data lead to epoch {epoch}: movies were appended to its data by a version "
                "of reelshards that did not record when, so its batches cannot be computed"
            )


def _uses(dataset: Dataset, policy: BatchPolicy) -> dict[str, tuple[str, str]]:
    """What becomes of the movies that no batch contains: (use, copy of), by movie."""
    uses = {}
    if policy.heldout_fraction and policy.split == "train":
        for name in _eligible(dataset, dataclasses.replace(policy, split="heldout")):
            uses[name] = (HELD_OUT, "")
    for name in _eligible(dataset, policy):
        uses[name] = (WAITING, "")
    for copy in ClipIndex.from_dataset(dataset, policy).copies:
        uses[copy.movie_id] = (COPY, copy.copy_of)
    return uses


def _eligible(dataset: Dataset, policy: BatchPolicy) -> list[str]:
    """Movies with eligible clips."""
    try:
        index = ClipIndex.from_dataset(dataset, policy)
    except PolicyError:
        return []
    _, firsts = np.unique(index.movie, return_index=True)
    names: list[str] = dataset.clips["movie_id"].take(pa.array(index.row[firsts])).to_pylist()
    return names
