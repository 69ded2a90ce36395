"""Training, from top to bottom: data, model, one step, the loop, checkpoints.

    shards --plan--> batches of m movies x k clips --augment--> two towers --> contrastive loss

A run is a folder. Launching it again resumes from its newest checkpoint, bit for bit on the same
CPU, because batches and augmentation are functions of (seed, epoch, step) and of no other state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.console import say
from trainer.data.stream import Batch, open_for_training
from trainer.ranks import Readback
from trainer.ranks.stop_signal import StopConsensus, StopSignal
from trainer.ranks.world import join_world
from trainer.runs.atomic_files import writing_run
from trainer.runs.bucket import open_run_folder
from trainer.runs.evaluate import HeldoutRetrieval
from trainer.runs.evaluate.online import OnlineEvaluation, online_evaluation
from trainer.runs.folder import open_run, restoring
from trainer.runs.initial_weights import initialize
from trainer.runs.journal import Journal, StepResult, say_unreached
from trainer.runs.launch import Job, restore
from trainer.runs.learning import forward_and_backward, on_device
from trainer.runs.learning.device_inputs import training_inputs
from trainer.runs.learning.learner import Learner, WeightAverage
from trainer.runs.learning.loss import ClipOrigins
from trainer.runs.learning.optimizer import learning_rate, set_learning_rate
from trainer.runs.lock import lock_run


@dataclass(frozen=True)
class TrainOutcome:
    """How a launch ended."""

    steps_done: int
    """Of the run, over all launches."""
    evaluation: OnlineEvaluation | None
    """On the first rank of a finished run that has movies to evaluate on."""
    stopped_by_signal: bool = False
    """Whether SIGTERM ended the launch before the last step."""

    @property
    def retrieval(self) -> HeldoutRetrieval | None:
        """Of the evaluation."""
        return self.evaluation.retrieval if self.evaluation else None

    def lines(self, num_steps: int) -> list[str]:
        """The closing message."""
        if self.steps_done < num_steps:
            return [
                f"stopped after step {self.steps_done} of {num_steps}; run the same command to "
                "resume"
            ]
        no_clips = ["no held-out movie has an eligible clip: nothing to evaluate on"]
        return self.retrieval.lines() if self.retrieval else no_clips


def train(data: str | Sequence[str], run: str | Path, config: TrainConfig) -> TrainOutcome:
    """Train on the dataset at `data` in the folder `run`, or resume there.

    Of several datasets, `config.policy.data_weights` says how much of a batch is from each.
    `run` may be a prefix in a bucket; see `trainer/runs/bucket/folder.py`.

    Raises:
        InputError: the dataset is unusable, or `run` cannot be written or contains a run with other
            settings.
        NonFiniteStepError: training diverged; the newest checkpoint is from an earlier step.
    """
    config = dataclasses.replace(config, stream=config.stream.on_this_machine())
    with (
        join_world() as world,
        open_run_folder(run, world) as folder,
        lock_run(folder.path, world),
    ):
        folder.keep = config.keep_checkpoints
        dataset = open_for_training(data, config.policy)
        # First: a run with another policy is refused as such, even if that policy is impossible.
        checkpoint = open_run(folder.path, dataset, config)
        if world.is_first:
            say_unreached(config)
        learner = Learner.build(config, world, dataset.recipe)
        if checkpoint is None and config.init_from:
            origin = initialize(learner.model, config)
            if world.is_first:
                say(origin)
        average = WeightAverage(learner.model, config.ema_decay) if config.ema_decay else None
        with restoring(folder.path):
            start = restore(learner, average, dataset.fingerprint, config, checkpoint)
        job = Job(folder, dataset, config, world, learner, average, start)
        if start.steps_done < config.steps:
            outcome = run_loop(job)
        else:
            outcome = TrainOutcome(start.steps_done, evaluate_heldout(job))
        if world.is_first:
            say("\n".join(outcome.lines(config.steps)))
        return outcome


# -- one step --------------------------------------------------------------------------------------
# Neither tower sees the other's input: only the loss relates them, so each must express in its
# embedding what the other can express too.
#
# Nothing here waits for the device: numbers are read back only when a line is written.


def learn(learner: Learner, batch: Batch, steps_done: int) -> StepResult:
    """One optimizer step."""
    config, device = learner.config, learner.device
    learner.model.train()
    rate = learning_rate(steps_done, config.steps, config.optimizer)
    set_learning_rate(learner.optimizer, rate)
    inputs = training_inputs(batch, config, device)
    learner.optimizer.zero_grad(set_to_none=True)
    origins = ClipOrigins.of(batch, device)
    output, scale = forward_and_backward(
        learner.trained, inputs, origins, learner.criterion, config.accumulate
    )
    limit = config.optimizer.max_grad_norm or float("inf")
    grad_norm = nn.utils.clip_grad_norm_(learner.parameters(), limit)
    learner.optimizer.step()
    learner.model.limit_scale()
    loss = output.loss.detach()
    return StepResult(
        loss=loss,
        diagnostics=output.diagnostics,
        grad_norm=grad_norm,
        logit_scale=scale,
        learning_rate=rate,
        batch=batch,
        is_finite=Readback(torch.isfinite(loss) & torch.isfinite(grad_norm)),
    )


# -- the loop --------------------------------------------------------------------------------------
# A step; from time to time a metric line, an evaluation, a checkpoint. It ends at the last step or
# on request.


def run_loop(job: Job) -> TrainOutcome:
    """Train to the end or until stopped; either way a checkpoint is written."""
    config, done = job.config, job.start.steps_done
    previous: StepResult | None = None
    evaluation: OnlineEvaluation | None = None
    best = job.start.best_retrieval
    with (
        job.stream() as stream,
        StopSignal() as signal,
        job.journal() as journal,
        job.writer() as writer,
    ):
        if job.world.is_first:
            say("\n".join(job.banner(stream)))
        consensus = StopConsensus(job.world, signal)
        for batch in on_device(journal.timed(stream), job.world.device):
            result = learn(job.learner, batch, done)
            if job.average is not None:
                job.average.update(job.learner.model, done + 1)
            # One step late, so that the host never waits for the step that it has just queued.
            if previous is not None:
                previous.require_finite(done)
            previous, done = result, done + 1
            writer.check()
            ends = done == config.steps
            signalled = consensus.reached()
            stops = signalled or ends or done == config.stop_at_step
            values: dict[str, float] = {}
            is_best = False
            if ends or done % config.log_every == 0:
                values |= journal.train_values(done, job.world, stream, result)
            if ends or (config.eval_every and done % config.eval_every == 0):
                result.require_finite(done)
                evaluation = evaluate_and_show(job, journal, batch, done)
                journal.restart_clock(stream)
                if evaluation is not None:
                    values |= evaluation.metrics()
                    is_best = evaluation.retrieval.score > best
                    best = max(best, evaluation.retrieval.score)
            # The line comes first: every step that has a checkpoint has its line.
            with writing_run(job.run):
                journal.write(done, batch.epoch, values)
            if stops or is_best or done % config.checkpoint_every == 0:
                result.require_finite(done)
                if job.world.is_first:
                    writer.save(job.checkpoint(batch, done, best), is_best=is_best)
            if stops:
                asked = signalled and not ends
                return TrainOutcome(done, evaluation if ends else None, stopped_by_signal=asked)
    raise AssertionError("the stream is endless")


def evaluate_and_show(
    job: Job, journal: Journal, batch: Batch, steps_done: int
) -> OnlineEvaluation | None:
    """Evaluate on held-out movies, and show what the model sees."""
    evaluation = evaluate_heldout(job)
    with writing_run(job.run):
        journal.show(steps_done, batch, job.learner.model)
    return evaluation


def evaluate_heldout(job: Job) -> OnlineEvaluation | None:
    """Evaluation on held-out movies, computed by the first rank while the others wait."""
    evaluation = None
    if job.world.is_first:
        model = job.average.model if job.average else job.learner.model
        evaluation = online_evaluation(model, job.dataset, job.config, job.world.device)
    job.world.wait()
    return evaluation
