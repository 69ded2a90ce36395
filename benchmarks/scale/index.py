"""How long a run on a large dataset takes to start, and to bring its index up to date.

    python -m benchmarks.scale.index

makes the commit records of 100,000 movies with 100 clips each (rows without shards) in a store that
answers every request after 30 ms, and measures in fresh processes: the first start, which has to
read every commit record; the first index; the start after that; an update after 100 more movies.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support import RESULTS
from shards_spec import layout
from shards_spec.dataset.index import read_committed_movies, write_index
from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.tables import clips_table
from shards_spec.storage import ObjectInfo, Storage

LATENCY_SECONDS = 0.030
_TEMPLATE_ID, _NUM_TEMPLATES = "movie-999999", 50
#: Keys per answer of a listing.
_LIST_PAGE = 1000


class SlowStorage(Storage):
    """A local folder whose requests take as long as those of a distant bucket."""

    def get(self, key: str) -> bytes:
        """As `Storage.get`, after the latency."""
        time.sleep(LATENCY_SECONDS)
        return super().get(key)

    def put(self, key: str, data: bytes | bytearray | memoryview | Path) -> None:
        """As `Storage.put`, after the latency."""
        time.sleep(LATENCY_SECONDS)
        super().put(key, data)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As `Storage.list`; one request per page."""
        for number, info in enumerate(super().list(prefix)):
            if number % _LIST_PAGE == 0:
                time.sleep(LATENCY_SECONDS)
            yield info


@dataclasses.dataclass(frozen=True)
class Step:
    """One measured process."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    movies: int


def make_commits(folder: Path, first: int, num_movies: int, clips_per_movie: int) -> None:
    """Write the commit records of movies with made-up rows.

    All ids have the same length, so a record is one of a few templates with its id replaced.
    """
    storage = Storage(str(folder), create=True)
    rng = np.random.default_rng(first)
    templates = [_template(clips_per_movie, rng) for _ in range(_NUM_TEMPLATES)]
    path = storage.local_path(layout.commit_key(_TEMPLATE_ID))
    path.parent.mkdir(exist_ok=True)
    for number in range(first, first + num_movies):
        movie_id = f"movie-{number:06d}"
        data = templates[number % _NUM_TEMPLATES].replace(_TEMPLATE_ID.encode(), movie_id.encode())
        path.with_stem(movie_id).write_bytes(data)


def _template(clips_per_movie: int, rng: np.random.Generator) -> bytes:
    """A commit record of `_TEMPLATE_ID`, not compressed."""
    recipe = Recipe()
    movie = MovieRow(
        movie_id=_TEMPLATE_ID,
        group=_TEMPLATE_ID,
        source_uri=f"s3://corpus/some/folder/of/movies/{_TEMPLATE_ID}.mkv",
        source_bytes=2_000_000_000,
        source_fingerprint="0123456789abcdef",
        recipe_fingerprint=recipe.fingerprint,
        status="done",
        duration_ns=5_400_000_000_000,
        num_clips=clips_per_movie,
        num_shards=1,
        shard_bytes=clips_per_movie * 60_000,
        video_codec="h264",
        audio_codec="aac",
        audio_choice="only track",
    )
    table = clips_table([_clip(recipe, number, rng) for number in range(clips_per_movie)])
    sink = pa.BufferOutputStream()
    # The schema of Arrow would be a second, encoded copy of the id.
    options = {"compression": "none", "store_schema": False}
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"reelshards.movie": movie.to_json()})
    return bytes(sink.getvalue())


def _clip(recipe: Recipe, number: int, rng: np.random.Generator) -> ClipRow:
    start = number * 3_200_000_000
    return ClipRow(
        clip_id=layout.clip_id(_TEMPLATE_ID, number),
        movie_id=_TEMPLATE_ID,
        group=_TEMPLATE_ID,
        shard=layout.shard_key(_TEMPLATE_ID, 0),
        tar_offset=number * 60_416,
        tar_bytes=60_416,
        crc32c=int(rng.integers(2**32)),
        clip_number=number,
        start_ns=start,
        end_ns=start + 3_200_000_000,
        first_frame_pts_ns=start,
        num_frames=recipe.num_frames,
        fps=recipe.fps,
        height=128,
        width=224,
        sample_rate_hz=16_000,
        num_audio_samples=51_200,
        av_skew_ns=int(rng.integers(1000)),
        shot_id=number,
        num_cuts=0,
        luma_mean=float(rng.uniform(20, 200)),
        luma_std=float(rng.uniform(20, 60)),
        motion=float(rng.uniform(0, 20)),
        audio_rms_dbfs=float(rng.uniform(-40, -10)),
        audio_peak_dbfs=float(rng.uniform(-10, 0)),
        filled_audio_ns=0,
    )


def start(storage: Storage) -> int:
    """What a run reads before its first task; returns the number of movies."""
    return len(read_committed_movies(storage))


def update(storage: Storage) -> int:
    """Bring the index up to date; returns the number of movies."""
    return len(write_index(storage, Recipe(), "benchmark"))


STEPS: dict[str, Callable[[Storage], int]] = {"start": start, "update": update}


def measure(name: str, step: str, folder: Path) -> Step:
    """Run one step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale.index", "--step", step]
    command += ["--folder", str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Step(name=name, **json.loads(output.splitlines()[-1]))


def run_step(step: str, folder: Path) -> dict[str, Any]:
    """The measured part of `measure`."""
    storage = SlowStorage(str(folder))
    started, cpu = time.perf_counter(), time.process_time()
    movies = STEPS[step](storage)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_rss_mib": round(peak_rss_bytes() / 1024**2),
        "movies": movies,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=int, default=100_000)
    parser.add_argument("--clips-per-movie", type=int, default=100)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="keep the commit records there")
    arguments = parser.parse_args()
    if arguments.step:
        sys.stdout.write(json.dumps(run_step(arguments.step, arguments.folder)) + "\n")
        return
    with tempfile.TemporaryDirectory(prefix="reelshards-index-") as scratch:
        folder = arguments.folder or Path(scratch)
        make_commits(folder, 0, arguments.movies, arguments.clips_per_movie)
        steps = [
            measure("first start, every commit record is read", "start", folder),
            measure("first index", "update", folder),
            measure("start with that index", "start", folder),
        ]
        make_commits(folder, arguments.movies, 100, arguments.clips_per_movie)
        steps.append(measure("update after 100 further movies", "update", folder))
        sizes = {
            name: (folder / "index" / name).stat().st_size
            for name in ("clips.parquet", "movies.parquet")
        }
    report(arguments.movies, arguments.clips_per_movie, steps, sizes)


def report(movies: int, clips_per_movie: int, steps: list[Step], sizes: dict[str, int]) -> None:
    """Write the results as JSON and as a page."""
    record = {
        "command": f"python -m benchmarks.scale.index --movies {movies}",
        "date": date.today().isoformat(),
        "machine": platform.machine(),
        "latency_seconds": LATENCY_SECONDS,
        "movies": movies,
        "clips": movies * clips_per_movie,
        "index_bytes": sizes,
        "steps": [dataclasses.asdict(step) for step in steps],
    }
    (RESULTS / "index.json").write_text(json.dumps(record, indent=2) + "\n")
    lines = [
        "# The index of a large dataset",
        "",
        f"`{record['command']}`, {record['date']}: {movies:,} movies with {clips_per_movie} "
        f"made-up clip rows each, in a folder whose requests take {LATENCY_SECONDS * 1000:.0f} ms.",
        "",
        "| step | seconds | CPU seconds | peak memory, MiB |",
        "|---|---|---|---|",
        *(
            f"| {step.name} | {step.seconds} | {step.cpu_seconds} | {step.peak_rss_mib} |"
            for step in steps
        ),
        "",
        f"`clips.parquet` has {sizes['clips.parquet'] / 1e6:,.0f} MB, `movies.parquet` "
        f"{sizes['movies.parquet'] / 1e6:,.1f} MB.",
        "",
    ]
    (RESULTS / "index.md").write_text("\n".join(lines))
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    main()
