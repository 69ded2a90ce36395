"""The console script `reelshards`: every command of the project under one name."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from reelshards.packages import attribute, can_import
from shards_spec.cli import ExitCode
from shards_spec.version import version

PROGRAM = "reelshards"


@dataclass(frozen=True)
class Command:
    """Where a command is implemented, and what it does."""

    package: str
    """Package whose `__main__` runs it, or the module that does."""
    summary: str
    """One line for the overview."""

    @property
    def module(self) -> str:
        """Module whose `main` runs it."""
        return self.package if "." in self.package else f"{self.package}.__main__"


COMMANDS = {
    "preprocess": Command("pipeline", "turn movies into a dataset of clip shards"),
    "status": Command("pipeline", "show the progress of a run, and which movies failed"),
    "retry": Command("pipeline", "process failed and quarantined movies again"),
    "prune": Command("pipeline", "remove movies that the corpus no longer contains"),
    "label": Command("pipeline", "give clips labels, subtitles or chapters, by movie and time"),
    "rebuild": Command("pipeline", "make the dataset of a lockfile with your copies of its movies"),
    "report": Command("pipeline", "describe a dataset: movies, drops, streams, failures"),
    "check-sync": Command("pipeline", "show how well the audio and video of a movie line up"),
    "demo-corpus": Command("pipeline", "make synthetic movies with known ground truth"),
    "drain": Command("pipeline", "ask the runs on this machine to stop, and wait for them"),
    "validate": Command("shards_spec", "check a dataset against the shard format"),
    "push": Command("reelshards.push", "upload a dataset to the Hugging Face hub"),
    "inspect": Command("shards_spec", "summarize a dataset, or show one of its clips"),
    "browse": Command("shards_spec", "look at a dataset in a web browser, clips with their audio"),
    "duplicates": Command("shards_spec", "find movies that look or sound the same, in part too"),
    "lock": Command("shards_spec", "write a small file to rebuild a dataset from elsewhere"),
    "check-store": Command("shards_spec", "test what the commands need from an object store"),
    "plan": Command("trainer", "show the batches of a policy before training on them"),
    "analyse": Command("trainer", "measure what a corpus offers to within-movie negatives"),
    "train": Command("trainer", "train a model from shards, or resume training it"),
    "evaluate": Command("trainer", "evaluate a run on movies that it did not train on"),
    "embed": Command("reelshards.embed", "embed movies with a run: times, video and audio vectors"),
    "transfer": Command("reelshards.transfer", "evaluate a run on labeled data sets of others"),
    "board": Command("reelshards.board", "evaluate a run with mteb: MAEB, MVEB, own tasks"),
    "export": Command("trainer", "write a run's encoders as safetensors"),
    "exposure": Command("trainer", "show which checkpoint has seen which movie, at which steps"),
    "plot": Command("trainer", "draw the curves of runs over each other"),
    "study": Command("trainer", "compare runs with more and fewer within-movie negatives"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        sys.stderr.write(usage())
        return ExitCode.UNUSABLE
    if words[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return ExitCode.DONE
    if words[0] == "--version":
        sys.stdout.write(f"{PROGRAM} {version()}\n")
        return ExitCode.DONE
    command = COMMANDS.get(words[0])
    if command is None:
        near = difflib.get_close_matches(words[0], COMMANDS, 1)
        advice = f"did you mean {near[0]}?" if near else f"see {PROGRAM} --help"
        sys.stderr.write(f"error: {words[0]!r} is not a command; {advice}\n")
        return ExitCode.UNUSABLE
    if not can_import(command.module):
        return ExitCode.UNUSABLE
    return int(attribute(command.module, "main")(words, prog=PROGRAM))


def usage() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            f"usage: {PROGRAM} COMMAND ...",
            "",
            "Movies to audio-visual clip shards, and shards to contrastive models.",
            "",
            *lines,
            "",
            f"Arguments of a command: {PROGRAM} COMMAND --help",
            f"Version: {PROGRAM} --version",
            "",
        )
    )
