"""Global batches as JSON lines, for other programs: `{"epoch", "step", "clips": [clip_id...]}`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TextIO

from shards_spec.errors import InputError
from trainer.plan.clip_index import ClipIndex
from trainer.plan.epoch_plan import BatchPlan, plan_epoch
from trainer.plan.policy import BatchPolicy


def dump_epochs(index: ClipIndex, policy: BatchPolicy, seed: int, epochs: int, path: Path) -> None:
    """Write the global batches of the first epochs of a run to a file, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            done = 0
            for epoch in range(epochs):
                plan = plan_epoch(index, policy.at_step(done), seed, epoch)
                # A change of the schedule ends the epoch early.
                ends = [step - done for step in policy.phases() if step > done]
                num_steps = min([plan.num_steps, *ends])
                dump_plan(index, plan, file, num_steps)
                done += num_steps
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write the plan to {path}: {error.strerror}") from error


def dump_plan(
    index: ClipIndex, plan: BatchPlan, file: TextIO, num_steps: int | None = None
) -> None:
    """Write the (first) global batches as JSON lines, clips listed movie by movie."""
    for step, rows in enumerate(plan.clips[:num_steps]):
        clips = [index.clip_ids[row].as_py() for row in rows.ravel().tolist()]
        file.write(json.dumps({"epoch": plan.epoch, "step": step, "clips": clips}) + "\n")
