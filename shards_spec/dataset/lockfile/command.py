"""The command `lock`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.dataset.lockfile.file import write_lock
from shards_spec.dataset.lockfile.make import lock_dataset
from shards_spec.dataset.reader import open_dataset
from shards_spec.progress import require_threads, shown_progress


@dataclass(frozen=True)
class LockDataset:
    """Write a small file from which others can rebuild the dataset with their own copies of its
    movies, see `reelshards rebuild`.

    It has the recipe, and for each movie its name, what recognizes it, and the times of its clips;
    no frames, no audio, no paths.
    """

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    out: Annotated[str, tyro.conf.arg(metavar="FILE")]
    """The lockfile to write, such as movies.lock: a file, or s3://, gs://, az://; an existing one
    is replaced."""
    json: bool = False
    """Print JSON instead of a line."""
    threads: int = 2
    """Movies that are read concurrently."""

    def run(self) -> int:
        """Write it; returns 0."""
        require_threads(self.threads)
        dataset = open_dataset(self.uri)
        with shown_progress("movies") as on_movie:
            lock = lock_dataset(dataset, self.threads, on_movie)
        num_bytes = write_lock(self.out, lock)
        if self.json:
            counts = {"movies": len(lock.movies), "clips": lock.num_clips, "bytes": num_bytes}
            cli.print_json({"lock": self.out, "digest": lock.digest, **counts})
        else:
            share = num_bytes / lock.num_clips
            cli.write_lines(
                [
                    f"{self.out}: movies: {len(lock.movies):,}, clips: {lock.num_clips:,}, "
                    f"{num_bytes:,} bytes ({share:.0f} per clip)"
                ]
            )
        return ExitCode.DONE
