"""The command `demo-corpus`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from pipeline.demo.config import DemoConfig
from pipeline.demo.freedoom import FreedoomConfig
from shards_spec.cli import ExitCode, new_console
from shards_spec.errors import InputError


@dataclass(frozen=True)
class DemoCorpus:
    """Make movies with known ground truth: H.264/AAC files with tables of labels.

    They are drawn, or those of a bot that plays the maps of Freedoom."""

    directory: Annotated[str, Positional, arg(metavar="FOLDER")]
    """Folder for the files; created if it is missing."""
    kind: Literal["drawn", "freedoom"] = "drawn"
    """`drawn`: synthetic movies with `labels.csv`. `freedoom`: one movie per map of the game, with
    `seen.csv` and `heard.csv`; needs the extra `freedoom` and the system library OpenAL."""
    config: Annotated[DemoConfig, OmitArgPrefixes, arg(name="movie")] = field(
        default_factory=DemoConfig
    )
    freedoom: FreedoomConfig = field(default_factory=FreedoomConfig)

    def run(self) -> int:
        """Make the movies."""
        console = new_console()

        def report(name: str) -> None:
            console.print(f"made {name}")

        if self.kind == "freedoom":
            if self.config != DemoConfig():
                raise InputError(
                    f"{_changed(self.config)}: of drawn movies, not of --kind freedoom"
                )
            from pipeline.demo.freedoom import make_freedoom

            paths = make_freedoom(Path(self.directory), self.freedoom, on_movie=report)
            tables = "seen.csv, heard.csv"
        else:
            if self.freedoom != FreedoomConfig():
                raise InputError(f"{_changed(self.freedoom)}: needs --kind freedoom")
            from pipeline.demo.corpus import make_demo_corpus

            paths = make_demo_corpus(Path(self.directory), self.config, on_movie=report)
            tables = "labels.csv"
        console.print(f"{len(paths)} movies and {tables} in {self.directory}")
        return ExitCode.DONE


def _changed(config: DemoConfig | FreedoomConfig) -> str:
    """The options that differ from their defaults."""
    default, prefix = type(config)(), "freedoom." if isinstance(config, FreedoomConfig) else ""
    return ", ".join(
        f"--{prefix}{item.name.replace('_', '-')}"
        for item in dataclasses.fields(config)
        if getattr(config, item.name) != getattr(default, item.name)
    )
