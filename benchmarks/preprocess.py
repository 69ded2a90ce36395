"""What a whole preprocessing run costs, against decoding the video of the same movie.

    python -m benchmarks.preprocess --movie big_buck_bunny.mp4 [--movies FOLDER] [--kinds NAME ...]

Three commands take turns: `pipeline preprocess --workers 1` on one copy of a movie (a cold start,
Ray included), the same on three copies, and `ffmpeg -threads 1 -i MOVIE -map 0:v -f null -`, the
floor. CPU seconds are those of all processes, counted by the kernel in a control group; the median
of several rounds counts. One more movie costs half of the difference of the first two. The share of
the floor is the floor divided by the cost: above 1, preprocessing is cheaper than decoding.

A table of stages follows from a process that is warm (`benchmarks.support.stages`). Needs root, to
make control groups. With `--kinds`, other kinds keep their figures in `results/preprocess.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from benchmarks.films.speed_films import SPEED_FILMS, SpeedFilm, speed_film
from benchmarks.support import RESULTS, STAGES, processor, run_accounted
from pipeline.ffmpeg.binaries import ffmpeg_path, ffmpeg_version

_COPIES = 3
_MIB = 1 << 20


def measure(film: SpeedFilm, path: Path, rounds: int, workers: Sequence[int]) -> dict[str, Any]:
    """CPU seconds of all commands, one after the other in each round."""
    floor, one, many, peaks, walls = [], [], [], [], []
    for _ in range(rounds):
        floor.append(run_accounted(_decode(path)).cpu_seconds)
        with tempfile.TemporaryDirectory(prefix="reelshards-speed-", dir=path.parent) as scratch:
            folder = Path(scratch)
            one.append(run_accounted(_preprocess(folder, path, 1, film.decode)).cpu_seconds)
            usage = run_accounted(_preprocess(folder, path, _COPIES, film.decode))
        many.append(usage.cpu_seconds)
        peaks.append(usage.peak_bytes)
        walls.append(usage.wall_seconds)
    command = [sys.executable, "-m", "benchmarks.support.stages", str(path), film.decode]
    stages = run_accounted(command)
    by_workers = {}
    for number in workers:
        with tempfile.TemporaryDirectory(prefix="reelshards-speed-", dir=path.parent) as scratch:
            command = _preprocess(Path(scratch), path, 2 * _COPIES, film.decode, number)
            by_workers[str(number)] = run_accounted(command).wall_seconds
    return {
        "about": film.about,
        "rounds": rounds,
        "floor": floor,
        "one": one,
        "many": many,
        "peak_bytes": max(peaks),
        "wall_seconds": statistics.median(walls),
        "stages": json.loads(stages.output.splitlines()[-1])["stages"],
        "workers": by_workers,
        "date": time.strftime("%Y-%m-%d"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _decode(path: Path) -> list[str]:
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-threads", "1", "-i", str(path)]
    return [*command, "-map", "0:v", "-f", "null", "-"]


def _preprocess(scratch: Path, path: Path, copies: int, decode: str, workers: int = 1) -> list[str]:
    movies = scratch / f"movies-{copies}-{workers}"
    movies.mkdir()
    for number in range(copies):
        (movies / f"{path.stem}-{number}{path.suffix}").hardlink_to(path)
    command = [sys.executable, "-m", "pipeline", "preprocess", str(movies), "--json"]
    command += ["--decode", decode, "--workers", str(workers)]
    return [*command, "--out", f"{scratch}/shards-{copies}-{workers}"]


def figures(kind: dict[str, Any]) -> tuple[float, float, float]:
    """(floor, one movie from a cold start, one more movie), median CPU seconds."""
    floor, one, many = (statistics.median(kind[key]) for key in ("floor", "one", "many"))
    return floor, one, (many - one) / (_COPIES - 1)


def page(record: dict[str, Any]) -> str:
    """The result as Markdown."""
    kinds: dict[str, dict[str, Any]] = record["kinds"]
    lines = [
        "# A preprocessing run against decoding",
        "",
        f"`{record['command']}`; {record['processor']}, {record['cpus']} CPUs, Python "
        f"{record['python']}, Ray {record['ray']}, FFmpeg {record['ffmpeg']}. CPU seconds of all "
        "processes, one worker, the default recipe; medians. The floor is `ffmpeg -threads 1 -i "
        "MOVIE -map 0:v -f null -`. All movies are Big Buck Bunny (CC BY 3.0, (c) Blender "
        "Foundation), whole or a part of it, re-encoded if its format differs, 60 s where nothing "
        "else is said; 1080p is scaled up from 720p. AV1 is not measured: the bundled FFmpeg has "
        "no software decoder for it.",
        "",
        "| movie | date, rounds, load | floor | one movie, cold | share of floor "
        "| one more movie | share of floor | spread | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in kinds.values():
        floor, one, more = figures(kind)
        spread = (max(kind["many"]) - min(kind["many"])) / statistics.median(kind["many"])
        lines.append(
            f"| {kind['about']} | {kind['date']}, {kind['rounds']}, {kind['load_average']} "
            f"| {floor:.1f} s | {one:.1f} s | {floor / one:.2f} | {more:.1f} s "
            f"| **{floor / more:.2f}** | {100 * spread:.0f} % "
            f"| {kind['peak_bytes'] / _MIB:.0f} MiB |"
        )
    lines += [
        "",
        "Peak memory is the largest sum of private memory of all processes at one time, Ray's "
        "included.",
        "",
        *_stage_table(kinds),
    ]
    for kind in kinds.values():
        if kind["workers"]:
            walls = ", ".join(f"{n}: {wall:.0f} s" for n, wall in kind["workers"].items())
            lines += [
                "",
                f"Wall time of {2 * _COPIES} copies by workers, {kind['about']}: {walls}.",
            ]
    return "\n".join([*lines, ""])


def _stage_table(kinds: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "## Where the CPU time goes",
        "",
        "Of one movie from a cold start, as shares of the floor. `start` is what the first movie "
        "costs more than another one: Python, imports, Ray and its worker. `rest` is what one more "
        "movie costs beyond its stages: Ray's processes, the driver, handing over results.",
        "",
        "| stage | " + " | ".join(kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    rows: dict[str, list[float]] = {name: [] for name in ("start", *STAGES, "rest")}
    for kind in kinds.values():
        floor, one, more = figures(kind)
        stages = {name: kind["stages"].get(name, 0.0) for name in STAGES}
        shares = {"start": one - more, **stages, "rest": more - sum(stages.values())}
        for name, seconds in shares.items():
            rows[name].append(seconds / floor)
    rows["whole"] = [sum(shares) for shares in zip(*rows.values(), strict=True)]
    for name, shares in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * s:.1f} %" for s in shares) + " |")
    return lines


def main() -> None:
    """Measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--movie", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument("--movies", type=Path, help="folder that keeps the movies made from it")
    parser.add_argument("--kinds", nargs="*", choices=[film.name for film in SPEED_FILMS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[], help="wall time, for example 1 2"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = given.out / "preprocess.json"
    kinds = json.loads(results.read_text())["kinds"] if results.exists() else {}
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        for film in SPEED_FILMS:
            if not given.kinds or film.name in given.kinds:
                path = speed_film(given.movies or Path(scratch), given.movie, film)
                kinds[film.name] = measure(film, path, given.rounds, given.workers)
                # After each kind: a long measurement may be stopped.
                write(given.out, kinds)
    sys.stdout.write((given.out / "preprocess.md").read_text())


def write(folder: Path, kinds: dict[str, dict[str, Any]]) -> None:
    """Write the results so far."""
    record = {
        "command": "python -m benchmarks.preprocess --movie big_buck_bunny.mp4",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
        "ray": ray.__version__,
        "ffmpeg": ffmpeg_version(),
        "kinds": {film.name: kinds[film.name] for film in SPEED_FILMS if film.name in kinds},
    }
    (folder / "preprocess.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "preprocess.md").write_text(page(record))


if __name__ == "__main__":
    main()
