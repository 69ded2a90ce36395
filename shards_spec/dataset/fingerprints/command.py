"""The command `duplicates`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
import tyro
from rich.table import Table
from rich.text import Text

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.dataset.fingerprints.store import update_duplicates
from shards_spec.dataset.reader import open_dataset
from shards_spec.progress import require_threads, shown_progress
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema.duplicates import DUPLICATE_KINDS


@dataclass(frozen=True)
class Duplicates:
    """Find movies, and spans of movies, that look or sound the same: copies, trailers, openings.

    Reads the clips of movies that are new since the last time, and stores what it finds in the
    dataset, where the browser and the trainer use it: of clips that show the same, training uses
    those of one movie.
    """

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://... or az://..."""
    json: bool = False
    """Print JSON instead of tables."""
    threads: int = 2
    """Movies that are read concurrently."""

    def run(self) -> int:
        """Print what was found; returns 0."""
        require_threads(self.threads)
        dataset = open_dataset(self.uri)
        with shown_progress("movies") as on_movie:
            table = update_duplicates(dataset, self.threads, on_movie)
        if self.json:
            cli.print_json({"spans": [_plain(row) for row in table.to_pylist()]})
        else:
            _print(table, len(set(dataset.clips["movie_id"].unique().to_pylist())))
        return ExitCode.DONE


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("clips_digest")}


def _print(table: pa.Table, num_movies: int) -> None:
    console = cli.new_console()
    rows = table.to_pylist()
    counts = Counter(row["kind"] for row in rows)
    if not counts:
        console.print(f"none of {num_movies:,} movies looks or sounds like another one")
        return
    shown = Table(title=Text("near-duplicates"), title_justify="left")
    for name in ("kind", "movie", "other movie", "spans", "seconds", "video", "audio"):
        shown.add_column(name, overflow="fold")
    for values in _by_pair(rows):
        shown.add_row(*values)
    console.print(shown)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in DUPLICATE_KINDS if counts[kind])
    console.print(f"spans among {num_movies:,} movies: {kinds}", soft_wrap=True)


def _by_pair(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One line for each kind of spans of two movies: the order of kinds, then the longest first."""
    pairs: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        pairs[row["kind"], row["movie_id"], row["other_movie_id"]].append(row)

    def seconds(spans: list[dict[str, Any]]) -> float:
        return float(sum(span["end_ns"] - span["start_ns"] for span in spans)) / NANOSECONDS

    order = {kind: number for number, kind in enumerate(DUPLICATE_KINDS)}
    for (kind, movie, other), spans in sorted(
        pairs.items(), key=lambda item: (order[item[0][0]], -seconds(item[1]), item[0])
    ):
        total = seconds(spans)
        shares = [
            sum((span["end_ns"] - span["start_ns"]) * span[name] for span in spans)
            / (total * NANOSECONDS or 1.0)
            for name in ("video_match", "audio_match")
        ]
        matches = [f"{share:.0%}" for share in shares] if other else ["", ""]
        yield (kind, movie, other, str(len(spans)), f"{total:.1f}", *matches)
