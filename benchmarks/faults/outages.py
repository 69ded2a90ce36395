"""Does a run survive outages of its object store with the same bytes?

    python -m benchmarks.faults.outages [--seconds 5 60 180]

Corpus and dataset are in buckets of one S3 server (moto), behind a proxy. When the first movie has
been committed, every request fails for a while: connections are reset, or the answer is 500 or 503.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.support import RESULTS, processor
from shards_spec.dataset.reader import open_dataset
from shards_spec.schema.columns import MEASURED_COLUMNS
from shards_spec.storage import Storage
from tests.support.datasets.outcome import shard_digests
from tests.support.films.media import Film, make_film
from tests.support.stores.fault_proxy import FaultProxy
from tests.support.stores.s3_servers import server

RESULT = RESULTS / "outages.md"
NUM_MOVIES = 5
OPTIONS = ["--short-side", "32", "--num-frames", "8", "--seed", "3", "--workers", "1"]


@dataclass(frozen=True)
class Trial:
    """One run."""

    seconds: float
    """Length of the outage; 0 for none."""
    num_faults: int
    """Requests that failed."""
    exit_code: int
    is_same: bool
    """Whether all shards and the index equal those of the undisturbed run."""
    wall_seconds: float
    error: str


def contents(storage: Storage) -> tuple[dict[str, str], list[object], list[object]]:
    """Digests of the shards, and the rows of the index without measured columns."""
    dataset = open_dataset(storage)
    movies = dataset.movies.drop_columns(list(MEASURED_COLUMNS)).to_pylist()
    return shard_digests(storage), movies, dataset.clips.to_pylist()


def run_with_outage(proxy: FaultProxy, corpus: str, out: str, seconds: float) -> tuple[int, str]:
    """Preprocess with an outage after the first commit; returns exit code and messages."""
    storage = Storage(out)
    environment = os.environ | {"AWS_ENDPOINT_URL": proxy.url}
    command = [sys.executable, "-m", "pipeline", "preprocess", corpus, "--out", out, *OPTIONS]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None and not list(storage.list("commits")):
            time.sleep(0.1)
        proxy.rate = 1.0
        time.sleep(seconds)
        proxy.rate = 0.0
        _, said = run.communicate()
    return run.returncode, said.strip().splitlines()[-1] if said.strip() else ""


def main() -> None:
    """Run the trials and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="*", default=[5.0, 60.0, 180.0])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    trials = []
    with tempfile.TemporaryDirectory() as name, server("moto", Path(name)) as (uri, variables):
        os.environ.update(variables)
        films = Path(name) / "movies"
        films.mkdir()
        corpus = Storage(f"{uri}/movies")
        for number in range(NUM_MOVIES):
            film = make_film(films / f"{number}.mp4", Film(seconds=6 + number, width=96, height=64))
            corpus.put(film.name, film)
        expected = None
        for seconds in (0.0, *options.seconds):
            out = f"{uri}/out-{seconds:g}"
            faults = ("500", "503", "reset")
            with FaultProxy(
                variables["AWS_ENDPOINT_URL"], rate=0.0, faults=faults, every_request=True
            ) as proxy:
                began = time.time()
                code, said = run_with_outage(proxy, corpus.uri, out, seconds)
                found = contents(Storage(out)) if code == 0 else None
                expected = expected or found
                trials.append(
                    Trial(
                        seconds,
                        proxy.num_faults,
                        code,
                        found is not None and found == expected,
                        time.time() - began,
                        said if code else "",
                    )
                )
            print(trials[-1], flush=True)
    options.out.write_text(report(trials))


def report(trials: list[Trial]) -> str:
    """The result file."""
    lines = [
        "# Outages of the object store\n",
        f"`python -m benchmarks.faults.outages`, on {processor()}, a busy machine: "
        f"only the last columns matter. {NUM_MOVIES} movies, corpus and dataset on one S3 server "
        "(moto); after the first commit every request fails (500, 503, or a reset connection).\n",
        "| outage, s | failed requests | run, s | exit code | same shards and index |",
        "|---|---|---|---|---|",
    ]
    for trial in trials:
        same = "yes" if trial.is_same else f"**no** {trial.error}"
        lines.append(
            f"| {trial.seconds:g} | {trial.num_faults} | {trial.wall_seconds:.0f} | "
            f"{trial.exit_code} | {same} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
