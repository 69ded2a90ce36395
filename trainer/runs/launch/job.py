"""What one launch of a training works with.

Which clips meet in a batch decides what the model can learn, so batches come from a plan that is a
pure function of (index, policy, seed, epoch); a position in it is two integers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.console import say
from trainer.data.stream import Batch, ClipStream
from trainer.ranks.world import World
from trainer.runs.atomic_files import writing_run
from trainer.runs.bucket import RunFolder
from trainer.runs.checkpoints import Checkpoint, CheckpointWriter
from trainer.runs.folder import describe_run
from trainer.runs.journal import Journal, Load
from trainer.runs.launch.banner import banner
from trainer.runs.launch.resume import Start, checkpoint_after
from trainer.runs.learning.learner import Learner, WeightAverage


@dataclass(frozen=True)
class Job:
    """Everything that a launch works with; nothing is global."""

    folder: RunFolder
    dataset: Dataset
    config: TrainConfig
    world: World
    learner: Learner
    average: WeightAverage | None
    """The averaged weights, where the settings ask for them."""
    start: Start

    @property
    def run(self) -> Path:
        """The run folder on this machine."""
        return self.folder.path

    def stream(self) -> ClipStream:
        """This rank's batches from the start position on, without end.

        Raises `PolicyError` when the guards of the loss remove every negative.
        """
        config = self.config.stream
        pin_memory = config.pin_memory and self.world.device.type == "cuda"
        stream = ClipStream(
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
        loss = self.config.loss
        guarded = stream.guarded_share(loss.guard_seconds, guard_shots=loss.guard_shots)
        if guarded == 1 and self.world.is_first:
            say(
                "warning: loss.guard-seconds and loss.guard-shots remove every within-movie "
                "negative: batches of these movies act like clips-per-movie = 1"
            )
        return stream

    def banner(self, stream: ClipStream) -> list[str]:
        """What the launch prints before its first step."""
        return banner(
            run=self.folder.uri or str(self.run),
            dataset=self.dataset,
            config=self.config,
            world=self.world,
            start=self.start,
            num_steps_per_epoch=stream.num_steps_per_epoch,
            shares=stream.shares(),
        )

    def writer(self) -> CheckpointWriter:
        """Writes the checkpoints of this launch."""
        return CheckpointWriter(
            self.run,
            keep=self.config.keep_checkpoints,
            milestone_every=self.config.milestone_every,
            in_background=self.config.background_checkpoints and self.world.is_first,
            publish=self.folder.publish,
        )

    def journal(self) -> Journal:
        """Write the settings into the run folder and open its metrics."""
        done = self.start.steps_done
        # By now every rank has read the folder and opened its stream: nothing can be refused later.
        self.world.wait()
        with writing_run(self.run):
            load = Load.of(self.config, self.dataset.recipe, self.world.device)
            if self.world.is_first:
                describe_run(self.run, self.dataset, self.config, done)
            writes, uri = self.world.is_first, self.folder.uri
            return Journal(self.run, self.config, done, load, writes=writes, uri=uri)

    def checkpoint(self, batch: Batch, steps_done: int, best_retrieval: float) -> Checkpoint:
        """The state of the run after a step on `batch`."""
        return checkpoint_after(
            batch, steps_done, self.learner, self.average, self.start, best_retrieval
        )
