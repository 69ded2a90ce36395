"""A small model trained on real movies and evaluated on others, with the commands that users type.

    python -m benchmarks.learning.real_films FOLDER

FOLDER holds movies; which of them are held out is decided by hashes of their names. A handful of
movies does not teach a model what movies are about: this shows that the whole system works on them,
and reports the figures next to chance.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.support import RESULTS

RECIPE = ("--num-frames", "8", "--fps", "5", "--short-side", "64")
TRAINING = (
    *("--config", "small", "--log-every", "50"),
    *("--policy.movies-per-batch", "4", "--policy.clips-per-movie", "4"),
    *("--policy.reads-per-movie", "4"),
    *("--stream.frame-size", "64", "--stream.num-processes", "0"),
)


def run(*words: str) -> tuple[str, float]:
    """Standard output of one of our commands, and its seconds."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True)
    # 1: some movies could not be used, as in any real folder.
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    return done.stdout, time.monotonic() - begin


def rows_of(evaluation: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Figure, value, chance."""
    rows = []
    for one in evaluation["retrieval"]["results"]:
        name = f"{one['direction'].replace('_', ' ')}, {one['gallery'].replace('_', ' ')}"
        for key in ("r1", "r5"):
            found, chance = one["over_clips"][key], one["chance_over_clips"][key]
            rows.append((f"R@{key[1:]}, {name}", found, chance))
    for name, probe in evaluation["movie_probe"].items():
        rows.append((f"movie probe, {name}", probe["accuracy"], probe["chance"]))
    return rows


def account_of(movies: list[dict[str, Any]]) -> str:
    """The outcome of all movies, in one sentence."""
    counts = Counter(movie["status"] for movie in movies)
    used = [movie for movie in movies if movie["num_clips"]]
    minutes = sum(movie["duration_ns"] for movie in used) / 60e9
    largest = max(used, key=lambda movie: movie["num_clips"])
    words = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    return (
        f"{len(movies)} movies: {words}; {sum(m['num_clips'] for m in used)} clips of "
        f"{minutes:.0f} minutes, {largest['num_clips']} of them from {largest['movie_id']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of movies")
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps")
    parser.add_argument("--heldout", type=float, default=0.2, help="share of movies to evaluate on")
    parser.add_argument("--out", type=Path, default=RESULTS / "real_films.md", help="result file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelshards-real-") as scratch:
        data, folder = f"{scratch}/shards", f"{scratch}/run"
        made, made_seconds = run(
            "pipeline", "preprocess", str(given.folder), "--out", data, "--json", *RECIPE
        )
        steps = ("--steps", str(given.steps), "--policy.heldout-fraction", str(given.heldout))
        place = ("--data", data, "--run", folder)
        _, train_seconds = run("trainer", "train", *place, *steps, *TRAINING)
        found, _ = run("trainer", "evaluate", *place, "--json")
    account, evaluation = json.loads(made), json.loads(found)
    retrieval = evaluation["retrieval"]
    lines = [
        "# A model trained on real movies",
        "",
        f"`python -m benchmarks.learning.real_films FOLDER --steps {given.steps} "
        f"--heldout {given.heldout}`, "
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {platform.python_version()}, torch "
        f"{version('torch')}; {made_seconds:.0f} s of preprocessing, {train_seconds:.0f} s of "
        "training.",
        "",
        account_of(account["movies"]),
        f"Evaluated on {retrieval['num_clips']} clips of "
        f"{retrieval['num_movies']} held-out movies.",
        *(f"Note: {note}." for note in evaluation["notes"]),
        "",
        "| figure | found | chance |",
        "|---|---|---|",
        *(
            f"| {name} | {value:.3f} | {chance:.3f} |"
            for name, value, chance in rows_of(evaluation)
        ),
        "",
    ]
    given.out.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
