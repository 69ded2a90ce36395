"""How many within-movie negatives the guards of the loss remove, known before training.

The guards take clips of one movie out of each other's negatives that start close together or are of
one shot; see `trainer/runs/learning/loss/`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shards_spec.errors import PolicyError
from shards_spec.recipe import NANOSECONDS
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_phases
from trainer.data.randomness import rng

#: A movie's clips of a step are one sample; this many are looked at.
NUM_SAMPLES = 2_000


def guarded_share(
    index: ClipIndex, clips: pa.Table, seed: int, *, guard_seconds: float, guard_shots: bool
) -> float:
    """The share of within-movie pairs that the guards remove, [0, 1], over all phases.

    0 where the policy has no within-movie pairs, or without guards.

    Raises `PolicyError` when the guards remove every negative there is: batches of one movie.
    """
    if not guard_seconds > 0 and not guard_shots:
        return 0.0
    num_pairs = num_guarded = 0
    for _, phase, plan in plan_phases(index, seed, 0):
        if phase.clips_per_group < 2:
            continue
        units = plan.clips.reshape(-1, phase.clips_per_group)
        if len(units) > NUM_SAMPLES:
            units = rng(seed, 0, "guards").choice(units, NUM_SAMPLES, replace=False)
        first, second = np.triu_indices(phase.clips_per_group, 1)
        positions = index.positions(units)
        movie, start = index.movie[positions], index.start_ns[positions]
        gap = np.abs(start[:, first] - start[:, second])
        is_guarded = gap < round(guard_seconds * NANOSECONDS)
        if guard_shots:
            shot = clips["shot_id"].take(pa.array(units.ravel())).to_numpy().reshape(units.shape)
            is_guarded |= shot[:, first] == shot[:, second]
        is_guarded &= movie[:, first] == movie[:, second]
        if is_guarded.all() and phase.movies_per_batch == 1:
            raise PolicyError(
                f"guard_seconds = {guard_seconds:g} and guard_shots = {guard_shots} remove every "
                f"negative: a batch has {phase.clips_per_group} clips of one movie, and all of "
                "them are too close together; weaken the guards, raise min_gap_seconds, or raise "
                "movies_per_batch"
            )
        num_pairs += is_guarded.size
        num_guarded += int(is_guarded.sum())
    return num_guarded / num_pairs if num_pairs else 0.0
