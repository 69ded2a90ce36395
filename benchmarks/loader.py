"""Clips per second of the stream against webdataset, litData, mosaic streaming and the limit.

    python -m benchmarks.loader [--folder data/bench-clips] [--seconds 10] [--cores 2] [--rounds 3]

The same clips are written once in each library's format (`clip_sets`). Every way then delivers
batches of 64 of them, decoded alike (`ways`, `peers`), from local files and from S3 on loopback
(`range_server`), cold and warm; in turn, several rounds, each in processes of its own on the same
cores, and alternating with the limit (`pace`), of which the share is computed. Clips per second of
CPU count user and system time of all loading processes. On S3 the last core is the server's.

cold    files are dropped from the page cache, the library's own cache is empty; the stream, as by
        default, keeps nothing, its peers store whole chunks
warm    local: the files are in the page cache; S3: the library's own cache holds all clips

Libraries that are not installed are reported as such; CONTRIBUTING.md says how to install them.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.loaders import peers, report
from benchmarks.loaders.clip_sets import Sizes, make
from benchmarks.loaders.contenders import CLIPS, MOVIES, WAYS
from benchmarks.loaders.pace import Result
from benchmarks.loaders.peers import Source
from benchmarks.support import processor, serving

PLACES = ("local, cold", "local, warm", "S3, cold", "S3, warm")

#: A run that has not ended by then is given up.
RUN_LIMIT_SECONDS, RESUME_LIMIT_SECONDS = 300, 30

#: What libraries need to talk to the server on loopback.
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def main() -> None:
    """Measure every way at every place, and write the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-clips"))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--task", default="", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        os.sched_setaffinity(0, _cores()[: arguments.cores])
        values = json.loads(arguments.source)
        paths = {name: Path(values[name]) for name in ("folder", "cache")}
        print(json.dumps(WAYS[arguments.way](arguments, Source(**{**values, **paths}))))
        return
    versions = {library: peers.version(library) for library in peers.PACKAGES}
    names = {"litData": "litdata", "mosaic streaming": "mosaic"}
    make(arguments.folder, Sizes(), ["reelshards", *(names[n] for n in names if versions[n])])
    with _Runs(arguments, versions) as runs:
        figures = runs.all()
    found = {
        "command": f"python -m benchmarks.loader --seconds {arguments.seconds:g} "
        f"--cores {arguments.cores} --rounds {arguments.rounds}",
        "date": str(datetime.date.today()),
        "processor": processor(),
        "num_cores": os.cpu_count(),
        "cores": {place: _num_cores(arguments, place) for place in PLACES},
        "load_at_end": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions,
        **figures,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "loader.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.out / "loader.md").write_text(report(found))
    print(report(found))


class _Runs:
    """Runs ways in processes of their own; a context manager."""

    def __init__(self, arguments: argparse.Namespace, versions: dict[str, str]) -> None:
        self._arguments = arguments
        self._ways = [way for way in WAYS if versions.get(way, "ours")]
        self._server = serving(
            arguments.folder.resolve().parent, cores=_cores()[_num_cores(arguments, "S3") :]
        )
        self._caches = Path(tempfile.mkdtemp(prefix="bench-caches-"))

    def __enter__(self) -> _Runs:
        self._url = self._server.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        shutil.rmtree(self._caches)
        self._server.__exit__(*reason)

    def all(self) -> dict[str, Any]:
        """Figures by place and way, one of each round; and those of resuming."""
        for way in self._ways:
            if way == "stream, threads" or not way.startswith(("limit", "stream")):
                self._run(way, "S3, warm", "fill")
        rounds: dict[str, dict[str, list[Result]]] = {}
        for number in range(self._arguments.rounds):
            for place in PLACES:
                for way in self._ways:
                    result = self._run(way, place, "")
                    rounds.setdefault(place, {}).setdefault(way, []).append(result)
                    print(f"round {number + 1}: {place}: {way}: {result}", file=sys.stderr)
        resume = {}
        for way in self._ways:
            if not way.startswith("limit"):
                resume[way] = [
                    self._run(way, "local, warm", "resume") for _ in range(self._arguments.rounds)
                ]
        return {"places": rounds, "resume": resume}

    def _run(self, way: str, place: str, task: str) -> Result:
        folder = self._arguments.folder.resolve()
        is_remote, is_cold = place.startswith("S3"), place.endswith("cold")
        if is_cold:
            _drop_page_cache(folder)
        with self._cache(way, is_cold) as cache:
            source = Source(
                folder=folder,
                url=self._url if is_remote else "",
                cache=cache,
                batch_size=MOVIES * CLIPS,
                num_workers=_num_cores(self._arguments, place),
                clips_per_movie=Sizes().clips_per_movie,
            )
            seconds = 0.0 if task else self._arguments.seconds
            command = [
                *(sys.executable, "-m", "benchmarks.loader", "--way", way, "--task", task),
                *("--seconds", str(seconds), "--cores", str(source.num_workers)),
                *("--source", json.dumps(dataclasses.asdict(source), default=str)),
            ]
            environment = {**os.environ, **S3_ENVIRONMENT, "PYTHONWARNINGS": "ignore"}
            if is_remote:
                environment["AWS_ENDPOINT_URL"] = self._url
            # Its notes go where this command's go; the last line of output is the result.
            try:
                done = subprocess.run(
                    command,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                    timeout=RESUME_LIMIT_SECONDS if task == "resume" else RUN_LIMIT_SECONDS,
                )
            except subprocess.TimeoutExpired:
                return {"silent": 1.0}
            if done.returncode:
                return {"failed": float(done.returncode)}
            result: Result = json.loads(done.stdout.splitlines()[-1])
            return result

    @contextmanager
    def _cache(self, way: str, is_cold: bool) -> Iterator[Path]:
        """A fresh cache folder, or a persistent one; shared by all of ours."""
        if is_cold:
            with tempfile.TemporaryDirectory(dir=self._caches) as folder:
                yield Path(folder)
            return
        kept = self._caches / way.partition(",")[0].replace(" ", "-")
        kept.mkdir(exist_ok=True)
        yield kept


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _num_cores(arguments: argparse.Namespace, place: str) -> int:
    """Of a loader: one fewer where the last one is the server's."""
    return max(1, arguments.cores - 1) if place.startswith("S3") else arguments.cores


def _drop_page_cache(folder: Path) -> None:
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
