"""The command `prune`: movies that the corpus no longer contains leave the dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError
from shards_spec.schema.tables import row_values


@dataclass(frozen=True)
class Prune:
    """Remove movies that the corpus no longer contains, and shards that no movie uses."""

    uri: Annotated[str, Positional, arg(metavar="DATASET")]
    """The dataset."""
    corpus: Annotated[str, Positional, arg(metavar="CORPUS")]
    """The whole corpus, as given to `preprocess`."""
    yes: bool = False
    """Remove them; without this flag, only list what would be removed."""
    follow_links: bool = False
    """Let links inside a corpus folder lead out of it."""
    receipt: str = ""
    """With `--yes`: new folder for a deletion receipt, and for the index from before, from which
    `exposure` computes which checkpoints have seen the removed movies."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """List or remove them."""
        if self.receipt and not self.yes:
            raise InputError("--receipt needs --yes: without it, nothing is removed")
        cli.show_start("comparing the dataset with the corpus")
        from pipeline.console import print_prunable
        from pipeline.run.pruning import find_prunable, prune
        from shards_spec.storage import Storage

        storage, follow = Storage(self.uri), self.follow_links
        if self.yes:
            folder = Path(self.receipt) if self.receipt else None
            prunable = prune(storage, self.corpus, follow_links=follow, receipt=folder)
        else:
            prunable = find_prunable(storage, self.corpus, follow_links=follow)
        if self.json:
            totals = {"num_clips": prunable.num_clips, "num_bytes": prunable.num_bytes}
            movies = [row_values(row) for row in prunable.movies]
            values = {**asdict(prunable), "movies": movies}
            cli.print_json({"removed": self.yes, **totals, **values})
            return ExitCode.DONE
        print_prunable(cli.new_console(), prunable, removed=self.yes)
        return ExitCode.DONE
