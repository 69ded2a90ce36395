"""Training, from top to bottom: data, model, one step, the loop, what is written down.

    shards --plan--> batches of m movies x k clips --augment--> two towers --> contrastive loss

A run is a folder. Launching it again goes on after its newest checkpoint, bit for bit on the same
CPU, because batches and augmentation are functions of (seed, epoch, step) and not of any state.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from shards_spec.reader import Dataset
from shards_spec.recipe import Recipe
from trainer.config import TrainConfig, to_json
from trainer.evaluate import HeldoutRetrieval, heldout_retrieval
from trainer.learning import (
    Moments,
    Trained,
    autocast,
    build_optimiser,
    flops_per_clip,
    forward_and_backward,
    learning_rate,
    on_device,
    peak_flops,
    plan_memory,
    prepare_device,
    set_learning_rate,
    training_inputs,
    wrapped,
)
from trainer.models import TwoTowers, build_model
from trainer.plan import PlanState
from trainer.ranks import Agreement, StopRequest, World, join_world
from trainer.run import (
    Checkpoint,
    Journal,
    Load,
    StepResult,
    describe_run,
    open_run,
    save_checkpoint,
    say,
    say_unreached,
    writing_run,
)
from trainer.stream import Batch, ClipStream, open_for_training


@dataclass(frozen=True)
class TrainOutcome:
    """How a launch ended."""

    steps_done: int
    """Of the run, over all launches."""
    retrieval: HeldoutRetrieval | None
    """On the first rank, of the finished run, if it has movies to be tested on."""

    def lines(self, num_steps: int) -> list[str]:
        """What the user is told last."""
        if self.steps_done < num_steps:
            return [f"stopped after step {self.steps_done} of {num_steps}; run again to go on"]
        no_test = ["no held-out movie has an eligible clip: nothing to test on"]
        return self.retrieval.lines() if self.retrieval else no_test


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names step and clips."""


def train(data: str, run: Path, config: TrainConfig) -> TrainOutcome:
    """Train on the dataset at `data`, or go on training, in the folder `run`.

    Raises:
        InputError: the dataset is unusable, or `run` cannot be written or holds a run with other
            settings.
        NonFiniteLossError: training diverged; the last checkpoint is from before.
    """
    with join_world() as world:
        dataset = open_for_training(data, config.policy)
        # First: a run with another policy is told so, even where that policy is impossible.
        checkpoint = open_run(run, dataset, config)
        if world.is_first:
            say_unreached(config)
        learner = Learner.build(config, world, dataset.recipe)
        start = restore(learner, dataset.fingerprint, config, checkpoint)
        job = Job(run, dataset, config, world, learner, start)
        if start.steps_done < config.steps:
            outcome = run_loop(job)
        else:
            outcome = TrainOutcome(start.steps_done, test_heldout(job))
        if world.is_first:
            say("\n".join(outcome.lines(config.steps)))
        return outcome


# -- data ------------------------------------------------------------------------------------------
# Which clips meet in a batch decides what the model can learn, so batches come from a plan that is
# a pure function of (index, policy, seed, epoch); a position in it is two integers.


@dataclass(frozen=True)
class Job:
    """All that a launch works with; nothing in it is global."""

    run: Path
    dataset: Dataset
    config: TrainConfig
    world: World
    learner: Learner
    start: Start

    def stream(self) -> ClipStream:
        """This rank's batches from the start on, without end."""
        config = self.config.stream
        pin_memory = config.pin_memory and self.world.device.type == "cuda"
        return ClipStream(
            self.dataset,
            self.config.policy,
            dataclasses.replace(config, pin_memory=pin_memory),
            seed=self.config.seed,
            rank=self.world.rank,
            world_size=self.world.world_size,
            epoch=self.start.plan.epoch,
            step=self.start.plan.step,
            steps_done=self.start.steps_done,
        )

    def journal(self) -> Journal:
        """What the launch writes down: its settings now, figures as they come."""
        done = self.start.steps_done
        # By now every rank has read the folder and has its stream: nothing can be refused any more.
        self.world.wait()
        with writing_run(self.run):
            if self.world.is_first:
                describe_run(self.run, self.dataset, self.config)
            return Journal(self.run, self.config, done, self.load(), writes=self.world.is_first)

    def load(self) -> Load:
        """What a step asks of the device."""
        recipe, inputs, device = self.dataset.recipe, self.config.model.inputs, self.world.device
        num_frames = min(inputs.num_frames, recipe.num_frames) or recipe.num_frames
        size = inputs.frame_size or self.config.stream.frame_size
        shape = (num_frames, size, recipe.n_mels, recipe.num_mel_frames)
        return Load(flops_per_clip(self.config.model, *shape), peak_flops(device), device)


@dataclass(frozen=True)
class Start:
    """Where a launch begins."""

    steps_done: int
    plan: PlanState


def restore(
    learner: Learner, index_fingerprint: str, config: TrainConfig, checkpoint: Checkpoint | None
) -> Start:
    """Put a checkpoint's state into `learner`; at the beginning when there is none."""
    plan = PlanState(
        epoch=0, step=0, seed=config.seed, index_fingerprint=index_fingerprint, policy=config.policy
    )
    if checkpoint is None:
        return Start(0, plan)
    saved = PlanState.from_json(checkpoint.plan)
    if config.accept_grown:
        saved = saved.on_grown(index_fingerprint)
    saved.check(plan)
    learner.model.load_state_dict(checkpoint.model)
    learner.optimiser.load_state_dict(checkpoint.optimiser)
    torch.set_rng_state(checkpoint.rng)
    return Start(checkpoint.step, saved)


# -- model -----------------------------------------------------------------------------------------
# Two towers that never see each other's input: only the loss relates them, so each must say in its
# embedding what the other can say too.


@dataclass(frozen=True)
class Learner:
    """Model and optimiser, on this process's device."""

    model: TwoTowers
    """The bare model: what is saved, tested and exported."""
    trained: Trained
    """The same model as it is trained: wrapped for several ranks, compiled if asked for."""
    optimiser: torch.optim.Optimizer
    config: TrainConfig
    device: torch.device

    @staticmethod
    def build(config: TrainConfig, world: World, recipe: Recipe | None = None) -> Learner:
        """First weights depend on the configuration alone, hence are equal on all ranks.

        With the dataset's `recipe`, what the backward pass computes again is chosen by memory.
        """
        report = say if world.is_first else _say_nothing
        device = world.device
        prepare_device(device, config.precision, report)
        model = build_model(config.model, config.seed).to(device)
        plan = None
        if recipe is not None:
            phases = config.policy.phases().values()
            num_clips = max(phase.movies_per_batch * phase.clips_per_movie for phase in phases)
            num_own = num_clips // world.world_size
            plan = plan_memory(model, config, device, num_own, recipe.num_frames)
        if plan is not None:
            model.set_recompute(plan.recompute)
            report(plan.line())
        forward = wrapped(model, config, world.world_size, report)
        trained = Trained(model, forward, partial(autocast, device, config.precision))
        optimiser = build_optimiser(model, config.optimiser)
        return Learner(model, trained, optimiser, config, device)


def _say_nothing(_: str) -> None:
    """On ranks whose lines would repeat the first one's."""


# -- one step --------------------------------------------------------------------------------------
# Nothing here waits for the device: numbers are read back only where a line is written.


def learn(learner: Learner, batch: Batch, steps_done: int) -> StepResult:
    """One optimiser step."""
    config, device = learner.config, learner.device
    learner.model.train()
    rate = learning_rate(steps_done, config.steps, config.optimiser)
    set_learning_rate(learner.optimiser, rate)
    inputs = training_inputs(batch, config, device)
    learner.optimiser.zero_grad(set_to_none=True)
    moments = Moments.of(batch, device)
    output, scale = forward_and_backward(
        learner.trained, inputs, moments, config.loss, config.accumulate
    )
    limit = config.optimiser.max_grad_norm or float("inf")
    grad_norm = nn.utils.clip_grad_norm_(learner.model.parameters(), limit)
    learner.optimiser.step()
    learner.model.limit_scale()
    return StepResult(output.loss.detach(), output.diagnostics, grad_norm, scale, rate, batch)


def require_finite(result: StepResult, steps_done: int) -> None:
    """Raise `NonFiniteLossError` when the loss of that step was NaN or infinite."""
    if result.is_finite.item():
        return
    batch = result.batch
    raise NonFiniteLossError(
        f"the loss of step {steps_done} became {float(result.loss)} (epoch {batch.epoch}, batch "
        f"{batch.step}, clips in index rows {batch.clip.tolist()}); no checkpoint was made of it; "
        "look at these clips, or lower optimiser.lr in a new run"
    )


# -- the loop --------------------------------------------------------------------------------------
# A step, now and then a line, a test, a checkpoint. It ends at the last step, or when asked to.


def run_loop(job: Job) -> TrainOutcome:
    """Train to the end or until stopped; either way a checkpoint is made."""
    config, done = job.config, job.start.steps_done
    previous: StepResult | None = None
    tested: HeldoutRetrieval | None = None
    with job.stream() as stream, StopRequest() as stop, job.journal() as journal:
        agreement = Agreement(job.world, stop)
        for batch in on_device(journal.timed(stream), job.world.device):
            result = learn(job.learner, batch, done)
            # One step late, so that the host never waits for the step that it has just queued.
            if previous is not None:
                require_finite(previous, done)
            previous, done = result, done + 1
            ends = done == config.steps
            stops = agreement.reached() or ends or done == config.stop_at_step
            values: dict[str, float] = {}
            if ends or done % config.log_every == 0:
                values |= journal.train_values(done, job.world, stream, result)
            if ends or (config.eval_every and done % config.eval_every == 0):
                tested = test_heldout(job)
                values |= tested.metrics() if tested else {}
                journal.restart_clock(stream)
            # The line comes first: a step whose checkpoint exists must not lack its line.
            with writing_run(job.run):
                journal.write(done, batch.epoch, values)
            if stops or done % config.checkpoint_every == 0:
                require_finite(result, done)
                save(job, done, batch)
            if stops:
                return TrainOutcome(done, tested if ends else None)
    raise AssertionError("the stream ended; it never does")


def test_heldout(job: Job) -> HeldoutRetrieval | None:
    """Retrieval on movies that were kept from training, by the first rank; the others wait."""
    tested = None
    if job.world.is_first:
        limit = job.config.eval_clips
        tested = heldout_retrieval(
            job.learner.model, job.dataset, job.config, job.world.device, max_clips=limit
        )
    job.world.wait()
    return tested


def save(job: Job, steps_done: int, batch: Batch) -> None:
    """Write the checkpoint from which the step after `batch` goes on."""
    if job.world.is_first:
        plan = dataclasses.replace(
            job.start.plan, epoch=batch.epoch, step=batch.step + 1, steps_done=steps_done
        )
        checkpoint = Checkpoint(
            step=steps_done,
            model=job.learner.model.state_dict(),
            optimiser=job.learner.optimiser.state_dict(),
            plan=plan.to_json(),
            config=to_json(job.config),
            rng=torch.get_rng_state(),
        )
        with writing_run(job.run):
            save_checkpoint(job.run, checkpoint, job.config.keep_checkpoints)
    job.world.wait()
