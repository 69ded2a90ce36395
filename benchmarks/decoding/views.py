"""What several views of one decode cost, against a run for each view and against one view alone.

    python -m benchmarks.decoding.views --movie big_buck_bunny.mp4 [--movies FOLDER]

`preprocess --view small:fps=5,short-side=128 --view large:fps=1,short-side=256 --workers 1` takes
turns with a run for each of the two views, on one copy of a movie (a cold start) and on
`--copies`; one more movie costs the difference. CPU seconds are those of all processes, counted by
the kernel in a control group (needs root). Shards of the views are compared with those of the runs
with one view.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from benchmarks.films.speed_films import SPEED_FILMS, speed_film
from benchmarks.support import RESULTS, processor, run_accounted
from pipeline.ffmpeg.binaries import ffmpeg_version

#: Settings by view, and the runs: the names of their views.
VIEWS = {"small": {"fps": "5", "short-side": "128"}, "large": {"fps": "1", "short-side": "256"}}
RUNS = {"both": ("small", "large"), "small": ("small",), "large": ("large",)}

KINDS = ("bbb-720p-60s", "h264-1080p")


def measure_round(path: Path, copies: int) -> dict[str, Any]:
    """CPU seconds of each run, on one copy and on several, and whether the shards are equal."""
    costs: dict[str, dict[str, float]] = {name: {} for name in RUNS}
    hashes: dict[str, dict[str, str]] = {}
    for amount, number in (("one", 1), ("many", copies)):
        with tempfile.TemporaryDirectory(prefix="reelshards-views-", dir=path.parent) as scratch:
            movies = Path(scratch, "movies")
            movies.mkdir()
            for copy in range(number):
                (movies / f"{path.stem}-{copy}{path.suffix}").hardlink_to(path)
            for name, views in RUNS.items():
                out = Path(scratch, name)
                command = [sys.executable, "-m", "pipeline", "preprocess", str(movies)]
                command += ["--out", str(out), "--workers", "1", *options(views)]
                costs[name][amount] = run_accounted(command).cpu_seconds
                hashes[name] = _shards(out)
    alone = {f"{view}/{shard}": code for view in VIEWS for shard, code in hashes[view].items()}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "load_average": round(os.getloadavg()[0], 1),
        "copies": copies,
        "costs": costs,
        "same_bytes": bool(alone) and alone == hashes["both"],
    }


def options(views: tuple[str, ...]) -> list[str]:
    """Options of a run: recipe settings for one view, `--view` for several."""
    if len(views) == 1:
        settings = VIEWS[views[0]]
        return [part for key, value in settings.items() for part in (f"--{key}", value)]
    texts = [
        f"{view}:" + ",".join(f"{key}={value}" for key, value in VIEWS[view].items())
        for view in views
    ]
    return [part for text in texts for part in ("--view", text)]


def more_seconds(measured: dict[str, Any], run: str) -> float:
    """CPU seconds of one more movie in a round."""
    costs = measured["costs"][run]
    return float(costs["many"] - costs["one"]) / (int(measured["copies"]) - 1)


def page(record: dict[str, Any]) -> str:
    """The result as Markdown."""
    small, large = (" ".join(options((view,))) for view in VIEWS)
    lines = [
        "# Several views of one decode",
        "",
        f"`{record['command']}`; {record['processor']}, {record['cpus']} CPUs, Python "
        f"{record['python']}, Ray {record['ray']}, FFmpeg {record['ffmpeg']}. CPU seconds of all "
        f"processes, one worker. `both` is one run with two views, `small` (`{small}`) and "
        f"`large` (`{large}`); the others are a run for each. Runs take turns, ratios are taken "
        "within a round, and medians over rounds. `costlier` is the costlier of the two views "
        "alone. All movies are Big Buck Bunny (CC BY 3.0, (c) Blender Foundation), a minute of "
        "it; 1080p is scaled up from 720p.",
        "",
        "| movie | date, rounds, load | measure | both | small | large | both / two runs "
        "| both / costlier | same bytes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in record["kinds"].values():
        lines += [_row(kind, text) for text in ("one movie, cold", "one more movie")]
    return "\n".join([*lines, ""])


def _row(kind: dict[str, Any], text: str) -> str:
    costs = [
        {run: m["costs"][run]["one"] if "cold" in text else more_seconds(m, run) for run in RUNS}
        for m in kind["rounds"]
    ]
    both, small, large = (statistics.median(cost[run] for cost in costs) for run in RUNS)
    apart = statistics.median(c["both"] / (c["small"] + c["large"]) for c in costs)
    costlier = statistics.median(c["both"] / max(c["small"], c["large"]) for c in costs)
    date = max(m["date"] for m in kind["rounds"])
    load = max(m["load_average"] for m in kind["rounds"])
    is_same = all(m["same_bytes"] for m in kind["rounds"])
    return (
        f"| {kind['about']} | {date}, {len(costs)}, {load} | {text} | {both:.1f} s | {small:.1f} s "
        f"| {large:.1f} s | **{apart:.2f}** | **{costlier:.2f}** | {'yes' if is_same else 'NO'} |"
    )


def _shards(out: Path) -> dict[str, str]:
    """SHA-256 of each shard by its path; in a run with several views the view comes first."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*.tar"))
    }


def main() -> None:
    """Measure, add to the results."""
    films = {film.name: film for film in SPEED_FILMS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movie", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument("--movies", type=Path, help="folder that keeps the movies made from it")
    parser.add_argument("--kinds", nargs="+", choices=list(films), default=KINDS)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.copies < 2:
        parser.error("--copies: at least 2")
    results = given.out / "views.json"
    kinds = json.loads(results.read_text())["kinds"] if results.exists() else {}
    record = {
        "command": "python -m benchmarks.decoding.views --movie big_buck_bunny.mp4",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
        "ray": ray.__version__,
        "ffmpeg": ffmpeg_version(),
        "kinds": kinds,
    }
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        for name in given.kinds:
            path = speed_film(given.movies or Path(scratch), given.movie, films[name])
            kinds[name] = {"about": films[name].about, "rounds": []}
            for _ in range(given.rounds):
                kinds[name]["rounds"].append(measure_round(path, given.copies))
                # After each round: a long measurement may be stopped.
                results.write_text(json.dumps(record, indent=2) + "\n")
                (given.out / "views.md").write_text(page(record))
    sys.stdout.write(page(record))


if __name__ == "__main__":
    main()
