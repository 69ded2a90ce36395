"""What a whole preprocessing run costs, against decoding the video of the same movie.

    python -m benchmarks.preprocess --movie big_buck_bunny.mp4 [--movies FOLDER] [--kinds NAME ...]

`rounds`: three commands take turns: `pipeline preprocess --workers 1` on one copy of a movie (a
cold start, Ray included), the same on several copies, and `ffmpeg -threads 1 -i MOVIE -map 0:v -f
null -`, the floor. CPU seconds are those of all processes, counted by the kernel in a control
group; the median of the rounds counts. One more movie costs the difference of the first two,
divided by the number of additional copies. The share of the floor is the floor divided by the
cost: above 1, preprocessing is cheaper than decoding.

`stages`: CPU seconds by stage, from a process that is warm (`benchmarks.support.stages`).
`limits`: CPU seconds of ffmpeg alone, for decoding the same frames, and for all that it does.
`workers`: wall time with one and two workers, of two corpora, and of one and two decoders.

Modules are compiled before, as those of an installed package are. In a checkout, where the
environment may forbid to store them, each process would compile what it imports.

Needs root, to make control groups. Results are added to `results/preprocess.json`, so that a long
measurement may be done in pieces (`--parts`, `--kinds`); `--fresh` discards earlier rounds.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from benchmarks.films.speed_films import SPEED_FILMS, SpeedFilm, speed_film
from benchmarks.preprocess.limits import measure_limits
from benchmarks.preprocess.page import page
from benchmarks.support import RESULTS, processor, run_accounted
from pipeline.ffmpeg.binaries import ffmpeg_path, ffmpeg_version

#: What is measured, by the names of the options.
PARTS = ("rounds", "stages", "limits", "workers")


def measure_round(film: SpeedFilm, path: Path, copies: int) -> dict[str, Any]:
    """CPU seconds of the floor, of one movie and of several, one after the other."""
    floor = run_accounted(_decode(path)).cpu_seconds
    with tempfile.TemporaryDirectory(prefix="reelshards-speed-", dir=path.parent) as scratch:
        one = run_accounted(_preprocess(Path(scratch), path, 1, film.decode)).cpu_seconds
        many = run_accounted(_preprocess(Path(scratch), path, copies, film.decode))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "load_average": round(os.getloadavg()[0], 1),
        "copies": copies,
        "floor": floor,
        "one": one,
        "many": many.cpu_seconds,
        "peak_bytes": many.peak_bytes,
        "wall_seconds": round(many.wall_seconds, 2),
    }


def measure_stages(film: SpeedFilm, path: Path) -> dict[str, float]:
    """CPU seconds of one more movie by stage."""
    command = [sys.executable, "-m", "benchmarks.support.stages", str(path), film.decode]
    stages: dict[str, float] = json.loads(run_accounted(command).output.splitlines()[-1])["stages"]
    return stages


def measure_workers(film: SpeedFilm, path: Path, copies: Sequence[int]) -> dict[str, Any]:
    """Wall and CPU seconds of corpora with one and with two workers, and of decoders alone.

    Two decoders at the same time show what the cores themselves lose when both are busy.
    """
    decode = shlex.join(_decode(path))
    runs: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "copies": list(copies),
        "decoders": {
            "1": _times(_decode(path)),
            "2": _times(["sh", "-c", f"{decode} & {decode}; wait"]),
        },
        "1": [],
        "2": [],
    }
    with tempfile.TemporaryDirectory(prefix="reelshards-speed-", dir=path.parent) as scratch:
        for number in copies:
            for workers in (1, 2):
                command = _preprocess(Path(scratch), path, number, film.decode, workers)
                runs[str(workers)].append(_times(command))
    runs["load_average"] = round(os.getloadavg()[0], 1)
    return runs


def _times(command: Sequence[str]) -> dict[str, float]:
    usage = run_accounted(command)
    return {"wall": round(usage.wall_seconds, 2), "cpu": round(usage.cpu_seconds, 2)}


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


def main() -> None:
    """Measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--movie", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument("--movies", type=Path, help="folder that keeps the movies made from it")
    parser.add_argument("--kinds", nargs="+", choices=[film.name for film in SPEED_FILMS])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=3, help="of the movie, in a round's last run")
    parser.add_argument(
        "--corpora", type=int, nargs=2, default=[2, 6], help="copies in the runs of workers"
    )
    parser.add_argument("--fresh", action="store_true", help="discard earlier figures of the parts")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    for package in ("pipeline", "shards_spec"):
        compileall.compile_dir(Path(__file__).parents[2] / package, quiet=1)
    results = given.out / "preprocess.json"
    kinds = json.loads(results.read_text())["kinds"] if results.exists() else {}
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        for film in SPEED_FILMS:
            if given.kinds and film.name not in given.kinds:
                continue
            path = speed_film(given.movies or Path(scratch), given.movie, film)
            kind = kinds.setdefault(film.name, {})
            for part in PARTS if given.fresh else ():
                if part in given.parts:
                    kind.pop(part, None)
            measure(kind, film, path, given)
            # After each kind: a long measurement may be stopped.
            write(given.out, kinds)
    sys.stdout.write((given.out / "preprocess.md").read_text())


def measure(kind: dict[str, Any], film: SpeedFilm, path: Path, given: argparse.Namespace) -> None:
    """Add the given parts to what is known of a kind."""
    kind["about"] = film.about
    if "rounds" in given.parts:
        rounds = kind.setdefault("rounds", [])
        rounds += [measure_round(film, path, given.copies) for _ in range(given.rounds)]
    if "stages" in given.parts:
        kind["stages"] = measure_stages(film, path)
    if "limits" in given.parts:
        measured = measure_limits(path, _decode(path), film.decode, given.rounds)
        kind["limits"] = {"date": time.strftime("%Y-%m-%d"), **measured}
    if "workers" in given.parts:
        kind.setdefault("workers", []).append(measure_workers(film, path, given.corpora))


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
