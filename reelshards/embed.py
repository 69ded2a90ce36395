"""The command `embed`: movies to a Parquet file of embeddings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from reelshards.encoder import Encoder, load_encoder
from reelshards.packages import can_import
from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError
from shards_spec.redaction import redacted

PROGRAM = "reelshards"

#: Modules that are needed in addition to those that read datasets.
_NEEDED = ("pipeline.movie", "trainer.runs.evaluate")


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Embed movies with a trained run: start and end of each clip, its video and audio vectors."""

    movies: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MOVIE...")]
    """Files, folders, globs, bucket prefixes, or manifests."""
    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder, or exported folder."""
    out: Path
    """Parquet file to write; its columns are movie, start_ns, end_ns, video and audio."""
    every_clip: bool = False
    """Also embed clips that the recipe drops as black, silent or frozen."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""
    threads: int = 0
    """Parts of a movie that are decoded concurrently; 0 for one for each core, at most 8."""

    def run(self) -> int:
        """Write the file; 1 if some movies failed, which are listed."""
        if not self.movies:
            raise InputError("embed: name at least one movie")
        encoder = load_encoder(self.run_folder, best=self.best, average=self.average)
        part = self.out.with_name(f".{self.out.name}.{os.getpid()}.part")
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            try:
                with pq.ParquetWriter(part, _schema(encoder)) as writer:
                    num_failed, num_clips = self._write(encoder, writer)
                part.replace(self.out)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"--out {self.out} cannot be written: {error}") from error
        sys.stdout.write(f"{num_clips} clips in {self.out}\n")
        return ExitCode.SOME_FAILED if num_failed else ExitCode.DONE

    def _write(self, encoder: Encoder, writer: pq.ParquetWriter) -> tuple[int, int]:
        """Movies that failed, and clips written."""
        num_failed = num_clips = 0
        threads = self.threads or None
        for corpus in self.movies:
            for uri, result in encoder.embed_movies(
                corpus, every_clip=self.every_clip, num_threads=threads
            ):
                if not isinstance(result, pa.Table):
                    sys.stderr.write(f"failed: {redacted(str(result))}\n")
                    num_failed += 1
                    continue
                names = pa.array([redacted(uri)] * result.num_rows, pa.string())
                table = result.add_column(0, "movie", names).cast(writer.schema)
                writer.write_table(table)
                num_clips += result.num_rows
                sys.stdout.write(f"{redacted(uri)}: {result.num_rows} clips\n")
                sys.stdout.flush()
        return num_failed, num_clips


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command; returns the exit code."""
    if not can_import(*_NEEDED):
        return ExitCode.UNUSABLE
    return cli.main(
        {"embed": Embed},
        prog=prog,
        description="Embed movies with a trained run.",
        arguments=arguments,
    )


def _schema(encoder: Encoder) -> pa.Schema:
    vector: Any = pa.list_(pa.float32(), encoder.embedding_size)
    return pa.schema(
        [
            ("movie", pa.string()),
            ("start_ns", pa.int64()),
            ("end_ns", pa.int64()),
            ("video", vector),
            ("audio", vector),
        ]
    )
