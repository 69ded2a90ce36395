"""A remote movie copied to each node's disk, or read by range: bytes fetched, and waiting times.

    python -m benchmarks.sources [--minutes 3] [--nodes 1 2 4] [--out benchmarks/results/sources.md]

One movie at the data rate of a UHD disc (a second audio track in PCM is most of it: it is read,
but costs nothing to decode) goes through `preprocess` on real Ray clusters of as many cores in all,
on one node and on several, each with a disk folder of its own. The store is `range_server`; it
gives all nodes together `--mib-per-second` times their number, as if each had such a link.

Bytes are counted by the server and exact. Times are of one machine that plays all nodes, and only
good as ratios within a run.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from benchmarks.support import serving
from pipeline.config import RunConfig
from pipeline.engine.events import Event, PartDecoded
from pipeline.ffmpeg.binaries import bundled_path, ffmpeg_version
from pipeline.run import preprocess
from pipeline.run.progress import Progress
from shards_spec.recipe import Recipe

_CORES = 4
_LOOP_SECONDS = 30
_MIB = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What one run took."""

    num_nodes: int
    sources: str
    fetched: float
    """Bytes fetched, in sizes of the movie."""
    first_seconds: float
    """From the start until the first segment was decoded."""
    total_seconds: float
    """Until the movie was committed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--segment-seconds", type=float, default=15.0)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--mib-per-second", type=float, default=50.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reelshards-sources-") as folder:
        film = make_film(Path(folder) / "store", options.minutes)
        outcomes = [
            measure(film, Path(folder), nodes, sources, options)
            for nodes in options.nodes
            for sources in ("staged", "ranged")
        ]
        text = report(outcomes, film.stat().st_size, options)
    print(text)
    if options.out:
        options.out.write_text(text)


def make_film(folder: Path, minutes: float) -> Path:
    """Small video with two audio tracks, the second of 4.6 MB/s."""
    folder.mkdir()
    film = folder / "film.mkv"
    command = [bundled_path("ffmpeg"), "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    command += [f"testsrc2=s=320x176:r=24:d={_LOOP_SECONDS}", "-f", "lavfi", "-i"]
    command += [f"sine=440:d={_LOOP_SECONDS}", "-f", "lavfi", "-i"]
    command += [
        f"anoisesrc=r=192000:d={_LOOP_SECONDS},pan=8c|"
        + "|".join(f"c{number}=c0" for number in range(8))
    ]
    command += ["-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-g", "48"]
    command += ["-c:a:0", "aac", "-c:a:1", "pcm_s24le"]
    command += [
        "-disposition:a:0",
        "default",
        "-disposition:a:1",
        "comment",
        str(folder / "part.mkv"),
    ]
    subprocess.run(command, check=True)
    loop = [bundled_path("ffmpeg"), "-v", "error", "-nostdin", "-stream_loop", "-1", "-i"]
    loop += [str(folder / "part.mkv"), "-map", "0", "-c", "copy", "-t", str(60 * minutes)]
    subprocess.run([*loop, str(film)], check=True)
    (folder / "part.mkv").unlink()
    return film


@contextmanager
def cluster(num_nodes: int, folder: Path) -> Iterator[None]:
    """Real raylets with `_CORES` cores in all; each stages into a folder of its own."""
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        for number in range(num_nodes):
            place = folder / f"node{number}"
            place.mkdir()
            found.add_node(num_cpus=_CORES // num_nodes, env_vars={"TMPDIR": str(place)})
        ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        found.shutdown()


def measure(
    film: Path, folder: Path, num_nodes: int, sources: str, options: argparse.Namespace
) -> Outcome:
    """One run on a cluster of its own."""
    firsts: list[float] = []

    def note(progress: Progress, event: Event | None) -> None:
        if isinstance(event, PartDecoded) and event.cost.kind == "segment":
            firsts.append(time.monotonic())

    place = folder / f"{sources}-{num_nodes}"
    place.mkdir()
    config = RunConfig(sources=sources, segment_seconds=options.segment_seconds)  # type: ignore[arg-type]
    rate = options.mib_per_second * num_nodes
    with cluster(num_nodes, place), serving(film.parent, rate) as url:
        start = time.monotonic()
        out = str(place / "out")
        summary = preprocess(f"{url}/{film.name}", out, Recipe(short_side=64), config, note)
        end = time.monotonic()
        assert not summary.failed, summary.failed
        with urllib.request.urlopen(f"{url}/sent", timeout=10) as answer:
            sent = int(answer.read())
    fetched = sent / film.stat().st_size
    found = Outcome(num_nodes, sources, fetched, firsts[0] - start, end - start)
    print(found, flush=True)
    return found


def report(outcomes: Sequence[Outcome], num_bytes: int, options: argparse.Namespace) -> str:
    """The result file."""
    by_nodes = {o.num_nodes: o for o in outcomes if o.sources == "staged"}
    rows = [
        f"| {o.num_nodes} | {o.sources} | {o.fetched:.2f} | {o.first_seconds:.1f} | "
        f"{o.first_seconds / by_nodes[o.num_nodes].first_seconds:.2f} | {o.total_seconds:.1f} | "
        f"{o.total_seconds / by_nodes[o.num_nodes].total_seconds:.2f} |"
        for o in outcomes
    ]
    num_segments = round(60 * options.minutes / options.segment_seconds)
    return "\n".join(
        [
            "# Remote movies: copied to each node, or read by range",
            "",
            f"`python -m benchmarks.sources`, {datetime.date.today()}, {platform.machine()}, "
            f"{os.cpu_count()} cores for everything (nodes, driver and store), FFmpeg "
            f"{ffmpeg_version()}. One movie of {options.minutes:g} minutes, "
            f"{num_bytes / _MIB:.0f} MiB, {num_segments} segments of "
            f"{num_bytes / num_segments / _MIB:.0f} MiB; {_CORES} cores of Ray in all; the store "
            f"gives {options.mib_per_second:g} MiB/s for each node.",
            "",
            "| nodes | sources | bytes fetched, movie sizes | first segment, s | against staged "
            "| committed, s | against staged |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Bytes are exact. Times are of one busy machine; compare them within a row pair only.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
