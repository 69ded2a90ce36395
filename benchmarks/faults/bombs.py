"""What small files that describe gigabytes cost a worker: memory and time of the first look.

    python -m benchmarks.faults.bombs [--scale 12] [--out benchmarks/results/bombs.md]

Each file of `tests.support.films.bombs` is prepared as `preprocess` does it, in a process of its
own. Peaks are resident sizes: of the worker beyond its modules, and of the largest ffprobe or
ffmpeg that it ran. The last row is a genuine movie of 10 hours at 60 frames/s with audio.
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.support import processor
from pipeline.engine.failure_classes import failure_class
from pipeline.errors import MovieError
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.limits import Limits
from pipeline.movie.steps import prepare
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe
from tests.support.films.bombs import long_movie, make_bombs

_MIB = 1024**2


@dataclass(frozen=True)
class Outcome:
    """The outcome of the first look at one file, and what it cost."""

    name: str
    num_bytes: int
    error_class: str
    """Empty if the movie was planned."""
    message: str
    is_final: bool
    """Whether no later attempt is made: planned, or an error that is never retried."""
    worker_mib: float
    program_mib: float
    seconds: float
    cpu_seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all of them and print the table; or one of them, as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=int, default=12)
    parser.add_argument("--one", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(asdict(look(options.one))))
        return
    with tempfile.TemporaryDirectory() as folder:
        text = page(list(measure(make_bombs(Path(folder), options.scale).values())), options.scale)
    print(text)
    if options.out:
        options.out.write_text(text)


def measure(paths: Sequence[Path]) -> Iterator[Outcome]:
    """Look at each file in a process of its own; then at a long genuine movie."""
    for path in paths:
        yield look_apart(path)
        path.unlink()
    yield look_apart(long_movie(paths[0].parent / "genuine.mp4", hours=10.0, fps=60))


def look_apart(path: Path) -> Outcome:
    """The first look at a file, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.faults.bombs", "--one", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{path.name}: {done.stderr}")
    return Outcome(**json.loads(done.stdout))


def look(path: Path) -> Outcome:
    """Prepare one movie in this process."""
    (movie,) = find_movies(str(path))
    size, before = path.stat().st_size, peak_rss_bytes()
    began, error_class, message, is_final = time.monotonic(), "", "", True
    try:
        with open_source(movie, fingerprint(movie), limits=Limits()) as source:
            prepare(movie, source, Recipe(), 300.0)
    except MovieError as error:
        error_class, message = error.error_class, str(error)
        is_final = failure_class(error).retry == "never"
    ours, programs = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Outcome(
        name=path.name,
        num_bytes=size,
        error_class=error_class,
        message=message,
        is_final=is_final,
        worker_mib=round((peak_rss_bytes() - before) / _MIB, 1),
        program_mib=round(programs.ru_maxrss * 1024 / _MIB, 1),
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(ours.ru_utime + programs.ru_utime + programs.ru_stime, 1),
    )


def page(outcomes: Sequence[Outcome], scale: int) -> str:
    """The result file."""
    today = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Files that describe more than they hold",
        "",
        f"`python -m benchmarks.faults.bombs --scale {scale}` on {today}, {processor()}, ffmpeg "
        f"{ffmpeg_version()}. Peaks of resident memory in MiB: of the worker beyond its modules,",
        "and of the largest program that it ran (a program counts about 170 MiB of the worker",
        "from which it was forked). None of these files is retried.",
        "",
        "| file | bytes | ends as | worker | program | wall s | CPU s |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {o.name} | {o.num_bytes:,} | {o.error_class or 'planned'} | {o.worker_mib:.0f} | "
        f"{o.program_mib:.0f} | {o.seconds:.1f} | {o.cpu_seconds:.1f} |"
        for o in outcomes
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
