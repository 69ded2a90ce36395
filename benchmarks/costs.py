"""What preprocessing costs: CPU seconds per movie second, by task and by kind of movie.

    python -m benchmarks.costs --movie big_buck_bunny.mp4 [--movies FOLDER] [--rounds 2]

The real pipeline on Ray runs over Big Buck Bunny (720p as it is; fetched by
`tests/support/films/real_films.py`) and parts of it, re-encoded or not
(`benchmarks.films.cost_films`).
Each task reports the CPU time of its worker and of the ffmpegs that it ran; CPU time, because other
work on the machine disturbs it less than wall time. The smallest figure of several rounds counts
for each task. The start of a worker, its first audio included, is reported separately; so is the
part of preparing a movie that grows with its length, measured on a part and on the same part 20
times. `benchmarks.schedule` takes its costs from `results/costs.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray

from benchmarks.films.cost_films import KINDS, Kind, make_films, make_repeated
from benchmarks.films.kind_costs import KindCosts
from benchmarks.support import RESULTS, tree_cpu_seconds
from pipeline.config import RunConfig
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.movie.steps import prepare
from pipeline.run import preprocess
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.recipe import Recipe

TASKS = ("prepare", "segment", "audio", "write")


@dataclass
class Film:
    """One movie's CPU seconds by task."""

    name: str
    num_bytes: int
    seconds: float = 0.0
    tasks: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 0.0))

    @property
    def kind(self) -> str:
        return self.name.rpartition("-")[0]


@dataclass(frozen=True)
class Round:
    """What one run took, CPU seconds."""

    films: list[Film]
    start: float
    """Of Ray's processes and one worker, until the first movie is done."""
    outside: float
    """Share that went to no task, in addition: the driver and Ray's own processes."""


def run_once(folder: Path, paths: list[Path]) -> Round:
    """Run over one movie to start everything, then over all movies."""
    with tempfile.TemporaryDirectory(prefix="reelshards-costs-", dir=folder.parent) as scratch:
        first = Path(scratch) / "first"
        first.mkdir()
        (first / paths[0].name).hardlink_to(paths[0])
        log = Path(scratch) / "log.jsonl"
        # One worker: of two CPUs the driver and Ray have the other.
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        before = tree_cpu_seconds()
        preprocess(str(first), f"{scratch}/none", Recipe(), RunConfig())
        started = tree_cpu_seconds()
        preprocess(str(folder), f"{scratch}/out", Recipe(), RunConfig(log_json=str(log)))
        total = tree_cpu_seconds() - started
        ray.shutdown()
        films = films_of(log, paths)
    in_tasks = sum(sum(film.tasks.values()) for film in films)
    once = sum(films[0].tasks.values())
    return Round(films, started - before - once, total / in_tasks - 1)


def films_of(log: Path, paths: list[Path]) -> list[Film]:
    """The movies with the costs that the log reports for their tasks."""
    films = {path.stem: Film(path.stem, path.stat().st_size) for path in paths}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "retry" or event.get("error_class"):
            raise SystemExit(f"a movie failed, so its costs are meaningless: {event}")
        film = films[event["movie_id"]]
        if event["event"] == "planned":
            film.seconds = event["movie_seconds"]
        if event.get("task_cpu_seconds"):
            film.tasks[event["task"].partition(" ")[0]] += event["task_cpu_seconds"]
    return list(films.values())


def least(rounds: Iterable[list[Film]]) -> list[Film]:
    """The movies with the least that each task took in any round."""
    found = []
    for same in zip(*rounds, strict=True):
        tasks = {task: min(film.tasks[task] for film in same) for task in TASKS}
        found.append(Film(same[0].name, same[0].num_bytes, same[0].seconds, tasks))
    return found


def prepare_line(folder: Path, kind: Kind, rounds: int) -> tuple[float, float]:
    """CPU seconds of preparing a movie of one kind: the constant part, and per movie second."""
    with tempfile.TemporaryDirectory(prefix="reelshards-costs-", dir=folder.parent) as scratch:
        repeated = Path(scratch) / f"{kind.name}{kind.suffix}"
        part = make_repeated(folder, kind, 20, repeated)
        points = [prepare_cost(path, rounds) for path in (part, repeated)]
    (short, few), (long, many) = points
    slope = max(0.0, (many - few) / (long - short))
    return few - slope * short, slope


def prepare_cost(path: Path, rounds: int) -> tuple[float, float]:
    """Movie seconds, and the least CPU seconds of preparing the movie."""
    (movie,) = find_movies(str(path))
    spent, plan = [], None
    for _ in range(rounds):
        before = os.times()
        with open_source(movie, fingerprint(movie)) as source:
            plan = prepare(movie, source, Recipe(), RunConfig().segment_seconds)
        spent.append(sum(os.times()[:4]) - sum(before[:4]))
    assert plan is not None
    return plan.seconds, min(spent)


def costs_of(films: list[Film], line: tuple[float, float]) -> KindCosts:
    """Movies of one kind as rates."""
    seconds = sum(film.seconds for film in films)
    rates = {task: round(sum(f.tasks[task] for f in films) / seconds, 6) for task in TASKS[1:]}
    return KindCosts(
        prepare_seconds=round(line[0], 3),
        prepare=round(line[1], 6),
        bytes_per_second=round(sum(film.num_bytes for film in films) / seconds),
        **rates,
    )


def spread_of(films: list[Film], kinds: dict[str, KindCosts]) -> dict[str, float]:
    """Standard deviation of the logarithm of a movie's costs against its kind's mean, by task."""
    found = {}
    for task in TASKS:
        logs = []
        for name in kinds:
            rates = [
                math.log(film.tasks[task] / (1 if task == "prepare" else film.seconds))
                for film in films
                if film.kind == name
            ]
            logs += [rate - sum(rates) / len(rates) for rate in rates]
        free = len(films) - len(kinds)
        found[task] = round(math.sqrt(sum(x * x for x in logs) / free), 3)
    return found


def record_of(
    rounds: list[Round], lines: dict[str, tuple[float, float]], load_average: float
) -> dict[str, Any]:
    """All that was measured, and what follows from it."""
    films = least(one.films for one in rounds)
    outside = min(one.outside for one in rounds)
    by_kind = {kind.name: [f for f in films if f.kind == kind.name] for kind in KINDS}
    kinds = {name: costs_of(of_kind, lines[name]) for name, of_kind in by_kind.items()}
    return {
        "command": "python -m benchmarks.costs --movie big_buck_bunny.mp4",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "ray": ray.__version__,
        "cpus": os.cpu_count(),
        "load_average": round(load_average, 1),
        "ffmpeg": ffmpeg_version(),
        "rounds": len(rounds),
        "kinds": {name: asdict(costs) for name, costs in kinds.items()},
        "spread": spread_of(films, kinds),
        "outside_tasks": round(outside, 4),
        "start_seconds": round(min(one.start for one in rounds), 1),
        "core_hours_per_film_hour": {
            name: round(costs.core_hours_per_film_hour() * (1 + outside), 4)
            for name, costs in kinds.items()
        },
        "films": [asdict(film) for film in films],
    }


def page(record: dict[str, Any]) -> str:
    """The result as Markdown."""
    kinds = {name: KindCosts(**costs) for name, costs in record["kinds"].items()}
    lines = [
        "# What preprocessing costs",
        "",
        f"`{record['command']}`, {record['date']}, {record['machine']}, Ray {record['ray']}, "
        f"FFmpeg {record['ffmpeg']}; least of {record['rounds']} rounds. "
        f"The load average of the machine's {record['cpus']} CPUs "
        f"was {record['load_average']}, these tasks included; more makes figures larger.",
        "",
        "CPU seconds of one core per movie second, with ffmpeg, by the real tasks on Ray; the "
        "default recipe. h264-720p is Big Buck Bunny (CC BY 3.0, (c) Blender Foundation), whole "
        "and in parts; the other kinds are parts of a re-encoded minute of it, with 1080p scaled "
        "up and HEVC of 10 bits, not movies of their own, so the spread between movies shows only "
        "as far as its scenes differ.",
        "",
        "| kind | Mbit/s | prepare | segment | audio | write | core-hours per movie-hour |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, costs in kinds.items():
        lines.append(
            f"| {name} | {costs.bytes_per_second * 8e-6:.1f} "
            f"| {costs.prepare_seconds:.1f} s + {costs.prepare:.4f} | {costs.segment:.4f} "
            f"| {costs.audio:.4f} | {costs.write:.4f} "
            f"| {record['core_hours_per_film_hour'][name]:.3f} |"
        )
    spread = ", ".join(f"{task} {value:.2f}" for task, value in record["spread"].items())
    lines += [
        "",
        "The last column is for a movie of 105 minutes and includes what belongs to no task (the "
        f"driver and Ray's processes): {100 * record['outside_tasks']:.1f} % more. Starting Ray "
        f"and a worker took {record['start_seconds']:.1f} CPU seconds, once.",
        "",
        f"Spread between movies of a kind (standard deviation of the logarithm): {spread}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--movie", "--film", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument(
        "--movies", "--films", type=Path, help="folder that keeps the movies made from it"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        folder = given.movies or Path(scratch)
        paths = make_films(folder, given.movie)
        rounds = [run_once(folder, paths) for _ in range(given.rounds)]
        load_average = os.getloadavg()[2]
        lines = {kind.name: prepare_line(folder, kind, given.rounds) for kind in KINDS}
    record = record_of(rounds, lines, load_average)
    (given.out / "costs.json").write_text(json.dumps(record, indent=2) + "\n")
    (given.out / "costs.md").write_text(page(record))
    sys.stdout.write(page(record))


if __name__ == "__main__":
    main()
