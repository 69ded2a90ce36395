"""Global batches as JSON lines for other programs: `{"epoch", "step", "clips": [clip_id...]}`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TextIO

from shards_spec.errors import InputError
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import BatchPlan, plan_epoch


def dump_epochs(index: ClipIndex, seed: int, num_epochs: int, path: Path) -> None:
    """Write the global batches of a run's first epochs to `path`, atomically.

    Raises `InputError` when the file cannot be written, `PolicyError` as `plan_epoch`.
    """
    policy = index.policy
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            steps_done = 0
            for epoch in range(num_epochs):
                plan = plan_epoch(index, policy.at_step(steps_done), seed, epoch)
                # The epoch ends early where the schedule begins a new phase.
                ends = [step - steps_done for step in policy.phases() if step > steps_done]
                num_steps = min([plan.num_steps, *ends])
                _dump_plan(index, plan, file, num_steps)
                steps_done += num_steps
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write the plan to {path}: {error.strerror}") from error


def _dump_plan(index: ClipIndex, plan: BatchPlan, file: TextIO, num_steps: int) -> None:
    """Write the first `num_steps` global batches, their clips listed movie by movie."""
    for step, rows in enumerate(plan.clips[:num_steps]):
        clips = [index.clip_ids[row].as_py() for row in rows.ravel().tolist()]
        file.write(json.dumps({"epoch": plan.epoch, "step": step, "clips": clips}) + "\n")
