"""The command `demo-corpus`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from pipeline.demo.config import DemoConfig
from pipeline.demo.corpus import make_demo_corpus
from shards_spec.cli import ExitCode, new_console


@dataclass(frozen=True)
class DemoCorpus:
    """Make synthetic movies with known ground truth: H.264/AAC files and a `labels.csv`."""

    directory: Annotated[str, Positional, arg(metavar="FOLDER")]
    """Folder for the files; created if it is missing."""
    config: Annotated[DemoConfig, OmitArgPrefixes, arg(name="movie")] = field(
        default_factory=DemoConfig
    )

    def run(self) -> int:
        """Make the movies."""
        console = new_console()
        paths = make_demo_corpus(
            Path(self.directory),
            self.config,
            on_movie=lambda name: console.print(f"made {name}"),
        )
        console.print(f"{len(paths)} movies and labels.csv in {self.directory}")
        return ExitCode.DONE
