"""CPU seconds of reelshards and of other ways to make clips with audio, on the same movies.

    python -m benchmarks.peers --movie big_buck_bunny.mp4 --kinds bbb-720p-60s \\
        --python daft=/venvs/daft/bin/python --python torchcodec=/venvs/torchcodec/bin/python

Every round runs the floor (`ffmpeg -threads 1 -i MOVIE -map 0:v -f null -`), reelshards with one
worker and each peer with one thread or CPU, in turn: once on one copy of the movie, a cold start,
and once on `--copies`; one more movie costs the difference. CPU seconds are those of all processes,
counted by the kernel in a control group (needs root). Ratios are taken within a round.

With `--cpus N`, a round measures wall time instead, as people run a machine: each contender has N
workers, threads or CPUs and processes `--copies` of the movie once.

A peer runs in the environment of `--python NAME=PATH`, or in this one; a peer that is not
installed is reported so. Rounds are added to `results/preprocess_peers.json`, so a long measurement
may be done in pieces; `--fresh` discards those of the given kinds. With `--copies 1` only the cold
start is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.films.speed_films import SPEED_FILMS, speed_film
from benchmarks.peers.contenders import PEERS, REELSHARDS, Contender, python_of, version
from benchmarks.peers.page import page
from benchmarks.support import RESULTS, processor, run_accounted
from benchmarks.support.accounting import Usage
from pipeline.ffmpeg.binaries import ffmpeg_path, ffmpeg_version


def measure_round(
    path: Path, contenders: Sequence[Contender], pythons: dict[str, str], copies: int
) -> dict[str, Any]:
    """One round on one movie: CPU seconds and clips by name."""
    floor = [ffmpeg_path(), "-v", "error", "-nostdin", "-threads", "1", "-i", str(path)]
    usage = run_accounted([*floor, "-map", "0:v", "-f", "null", "-"])
    costs: dict[str, Any] = {}
    for contender in contenders:
        python = python_of(contender, pythons)
        with _failures(contender, costs):
            costs[contender.name] = _costs(path, contender, python, copies)
    return _facts() | {"floor": usage.cpu_seconds, "copies": copies, "costs": costs}


def measure_machine(
    path: Path, contenders: Sequence[Contender], pythons: dict[str, str], copies: int, cpus: int
) -> dict[str, Any]:
    """Wall and CPU seconds of several copies with several CPUs, by name."""
    times: dict[str, Any] = {}
    for contender in contenders:
        python = python_of(contender, pythons)
        with _failures(contender, times):
            usage, _ = _run(path, contender, python, copies, cpus)
            times[contender.name] = {"wall": usage.wall_seconds, "cpu": usage.cpu_seconds}
    return _facts() | {"cpus": cpus, "copies": copies, "times": times}


def _facts() -> dict[str, Any]:
    return {"date": time.strftime("%Y-%m-%d"), "load_average": round(os.getloadavg()[0], 1)}


@contextlib.contextmanager
def _failures(contender: Contender, results: dict[str, Any]) -> Iterator[None]:
    """A peer that fails is reported by its last line; reelshards must not fail."""
    try:
        yield
    except SystemExit as error:
        if contender is REELSHARDS:
            raise
        lines = str(error).rpartition(" failed: ")[2].strip().splitlines()
        results[contender.name] = {"failed": lines[-1][:300] if lines else "no message"}


def _costs(path: Path, contender: Contender, python: str, copies: int) -> dict[str, float]:
    """CPU seconds of one movie from a cold start (`one`) and of several (`many`), and clips."""
    costs: dict[str, float] = {}
    for name, number in (("one", 1), ("many", copies)):
        if name == "many" and copies == 1:
            continue
        usage, clips = _run(path, contender, python, number)
        costs[name] = usage.cpu_seconds
        if name == "one":
            costs["clips"] = clips
    return costs


def _run(
    path: Path, contender: Contender, python: str, copies: int, cpus: int = 1
) -> tuple[Usage, int]:
    """What copies of a movie took, and how many clips they became."""
    with tempfile.TemporaryDirectory(prefix="reelshards-peers-", dir=path.parent) as scratch:
        movies, out = Path(scratch, "movies"), Path(scratch, "out")
        movies.mkdir()
        for copy in range(copies):
            (movies / f"{path.stem}-{copy}{path.suffix}").hardlink_to(path)
        usage = run_accounted(contender.command(python, movies, out, cpus))
        clips = contender.num_clips(out)
    if not clips:
        raise SystemExit(f"no clips in its output; {usage.output[-200:]}")
    return usage, clips


def record_of(results: Path) -> dict[str, Any]:
    """The record so far, or an empty one."""
    if results.exists():
        record: dict[str, Any] = json.loads(results.read_text())
        return record
    return {"kinds": {}, "versions": {}, "missing": {}}


def _arguments() -> argparse.Namespace:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movie", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument("--movies", type=Path, help="folder that keeps the movies made from it")
    films = [film.name for film in SPEED_FILMS]
    parser.add_argument("--kinds", nargs="+", choices=films, default=["bbb-720p-60s"])
    parser.add_argument("--peers", nargs="*", choices=names, default=names)
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="interpreter of a peer's environment",
    )
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--cpus", type=int, help="measure wall time with so many CPUs instead")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--fresh", action="store_true", help="discard earlier rounds of these kinds"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def _installed(
    names: Sequence[str], pythons: dict[str, str], record: dict[str, Any]
) -> list[Contender]:
    """The peers of these names that can be imported; versions and errors go into the record."""
    installed = []
    for peer in (peer for peer in PEERS if peer.name in names):
        text, reason = version(peer, python_of(peer, pythons))
        if text:
            installed.append(peer)
            record["versions"][peer.name] = text
            record["missing"].pop(peer.name, None)
        elif peer.name not in record["versions"]:
            record["missing"][peer.name] = reason
    return installed


def main() -> None:
    """Measure, add to the results."""
    given = _arguments()
    pythons = dict(text.split("=", 1) for text in given.python)
    results = given.out / "preprocess_peers.json"
    record = record_of(results)
    record |= {
        "command": "python -m benchmarks.peers --movie big_buck_bunny.mp4 --python NAME=PATH ...",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "ffmpeg": ffmpeg_version(),
    }
    present = [REELSHARDS, *_installed(given.peers, pythons, record)]
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        for film in (film for film in SPEED_FILMS if film.name in given.kinds):
            path = speed_film(given.movies or Path(scratch), given.movie, film)
            kind = record["kinds"].setdefault(film.name, {"rounds": [], "machine": []})
            kind["about"] = film.about
            rounds = kind.setdefault("machine" if given.cpus else "rounds", [])
            if given.fresh:
                rounds.clear()
            for _ in range(given.rounds):
                if given.cpus:
                    args = (path, present, pythons, given.copies, given.cpus)
                    rounds.append(measure_machine(*args))
                else:
                    rounds.append(measure_round(path, present, pythons, given.copies))
                # After each round: a long measurement may be stopped.
                results.write_text(json.dumps(record, indent=2) + "\n")
                (given.out / "preprocess_peers.md").write_text(page(record))
    sys.stdout.write(page(record))


if __name__ == "__main__":
    main()
