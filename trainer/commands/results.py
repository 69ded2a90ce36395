"""The commands that describe runs and datasets, or write files from them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shards_spec.cli import ExitCode, print_json, write_lines


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a run on movies that it did not train on."""

    data: tuple[str, ...]
    """URI of the dataset; of several, each is also evaluated by itself."""
    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder; may be in a bucket."""
    labels: Path | None = None
    """CSV with the columns source, start_seconds, end_seconds, label, for the class probe."""
    label_column: str = ""
    """Column of the clip index to use as the class, instead of a table; or labels that
    `reelshards label` has imported, such as labels.mood."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""
    min_lift: float = 0.0
    """Exit with 1 unless within-movie R@1 is at least this many times chance, both ways."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Print all metrics; 1 if `min_lift` is missed."""
        from trainer.runs.evaluate.evaluation import evaluate

        evaluation = evaluate(
            self.data,
            self.run_folder,
            self.labels,
            self.label_column,
            best=self.best,
            average=self.average,
        )
        if self.json:
            print_json(evaluation.to_json())
        else:
            write_lines(evaluation.lines())
        # Within-movie R@1 needs a movie with two clips; if there is none, the check fails.
        if self.min_lift and not min(evaluation.lifts().values(), default=0.0) >= self.min_lift:
            sys.stderr.write(f"error: within-movie R@1 is below {self.min_lift:g} times chance\n")
            return ExitCode.SOME_FAILED
        return ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's encoders in the layout of models on the Hugging Face hub: weights
    (safetensors), settings, preprocessing and a model card."""

    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder; may be in a bucket."""
    out: Path
    """Folder for the files; created if missing."""
    data: str = ""
    """URI of a dataset to evaluate the run on for the model card; by default the card has the
    figures of the run's own last evaluation."""
    labels: Path | None = None
    """With `--data`: CSV with the columns source, start_seconds, end_seconds, label."""
    onnx: bool = False
    """Also write each tower as ONNX, if it computes the same (needs `reelshards[onnx]`)."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""

    def run(self) -> int:
        """Write the files and print their paths."""
        from trainer.runs.evaluate import export
        from trainer.runs.evaluate.evaluation import evaluate

        run, best, average = self.run_folder, self.best, self.average
        evaluation = None
        if self.data:
            evaluation = evaluate(self.data, run, self.labels, best=best, average=average)
        paths = export(
            run, self.out, evaluation=evaluation, onnx=self.onnx, best=best, average=average
        )
        write_lines(map(str, paths))
        return ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Show which checkpoint of a run has seen which movie, and at which steps."""

    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder; may be in a bucket."""
    movie: tuple[str, ...] = ()
    """Movies to show with all of their steps; by default all movies without them."""
    data: tuple[str, ...] = ()
    """Dataset (or datasets, in their order) as it was when the run was launched last, if it has
    changed or moved since; a copy of dataset.json and index/ is enough."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """Print it."""
        from trainer.runs.exposure import exposure_command

        exposure_command(self.run_folder, self.movie, self.data, as_json=self.json)
        return ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the curves of runs over each other."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Run folders; may be in a bucket."""
    out: Path = Path("curves.html")
    """File to write: .html (with a table of the last values), .png or .svg."""

    def run(self) -> int:
        """Write the file and print its path."""
        from trainer.runs.plot_curves import plot

        plot(self.runs, self.out)
        sys.stdout.write(f"{self.out}\n")
        return ExitCode.DONE
