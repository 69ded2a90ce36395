"""How a worker's memory depends on the length of a movie: peak of each kind of task, two lengths.

    python -m benchmarks.memory [--minutes 10 180] [--fps 24] [--out benchmarks/results/memory.md]

Two movies that differ only in length are made, and each goes through `preprocess` on a Ray of its
own with one worker at a time. Meanwhile every process of that Ray is looked at every 20 ms. What
counts is `RssAnon` of `/proc/<pid>/status`: memory that belongs to the process alone. The object
store is shared memory (`RssShmem`) and mapped files are `RssFile`; neither counts. A worker
process runs one task after the other, so a task's figure holds what those before it left behind.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import ray

from benchmarks.support import processor
from pipeline.config import RunConfig
from pipeline.ffmpeg.binaries import bundled_path, ffmpeg_version
from pipeline.run import preprocess
from shards_spec.recipe import Recipe

KINDS = ("prepare", "segment", "audio", "write")
PROGRAMS = "ffmpeg and ffprobe"
_LOOK_SECONDS = 0.02
_LOOP_SECONDS = 60
_MIB = 1 << 20


@dataclass(frozen=True)
class Peaks:
    """Peaks of one movie's run, MiB of private memory."""

    minutes: float
    clips: int
    wall_seconds: float
    private_mib: dict[str, float]
    """By kind of task; `PROGRAMS` for the largest program that a task ran."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, nargs=2, default=[10.0, 180.0])
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--size", default="160x96")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        peaks = [
            measure(make_film(Path(folder), minutes, options.size, options.fps), minutes)
            for minutes in sorted(options.minutes)
        ]
    film = f"{options.size} at {options.fps} fps, MPEG-4 and MP2"
    text = page(peaks, film)
    print(text)
    if options.out:
        options.out.write_text(text)
        record = {"command": command(options.minutes), "films": film, **provenance()}
        record |= {"peaks": [asdict(found) for found in peaks]}
        options.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")


def make_film(folder: Path, minutes: float, size: str, fps: int) -> Path:
    """A movie with moving video and audio: one minute, repeated."""
    loop, film = folder / "loop.mkv", folder / f"{minutes:g}" / "film.mkv"
    film.parent.mkdir()
    picture = f"testsrc2=size={size}:rate={fps}"
    sound = "sine=frequency=220:beep_factor=4:sample_rate=48000"
    sources = [word for text in (picture, sound) for word in ("-f", "lavfi", "-i", text)]
    coding = ["-c:v", "mpeg4", "-q:v", "6", "-g", str(2 * fps), "-c:a", "mp2", "-b:a", "96k"]
    _ffmpeg(*sources, "-t", str(_LOOP_SECONDS), *coding, str(loop))
    length = ["-t", f"{60 * minutes:.3f}"]
    _ffmpeg("-stream_loop", "-1", "-i", str(loop), *length, "-c", "copy", str(film))
    loop.unlink()
    return film


def measure(film: Path, minutes: float) -> Peaks:
    """Run one movie through the pipeline and watch its workers."""
    config = RunConfig(workers=1)
    with tempfile.TemporaryDirectory() as out, _Watch() as watch:
        summary = preprocess(str(film.parent), out, Recipe(), config)
    (row,) = summary.rows
    if row.status != "done":
        raise SystemExit(f"{film.name}: {row.error}")
    private = {kind: round(size / _MIB, 1) for kind, size in watch.peaks.items()}
    return Peaks(minutes, row.num_clips, round(summary.wall_seconds, 1), private)


class _Watch:
    """Looks at all processes below this one until its end."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = defaultdict(int)
        """Bytes of private memory by kind of task."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for pid in _below(os.getpid()):
                kind = _kind(pid)
                if kind:
                    self._note(kind, pid)
                    for program in _below(pid):
                        if b"ff" in _read(f"/proc/{program}/cmdline").split(b"\0")[0]:
                            self._note(PROGRAMS, program)

    def _note(self, kind: str, pid: int) -> None:
        self.peaks[kind] = max(self.peaks[kind], _private_bytes(pid))


def _kind(pid: int) -> str:
    """The kind of task that a process runs; empty for none. Ray names workers after their task."""
    title = _read(f"/proc/{pid}/cmdline").rstrip(b"\0 ").decode(errors="replace")
    # "prepare" in a Ray of the run's own, "<movie> prepare" in a cluster.
    words = title.removeprefix("ray::").split()
    is_task = title.startswith("ray::") and bool(words) and words[-1] in KINDS
    return words[-1] if is_task else ""


def _below(pid: int) -> list[int]:
    """Processes that were started by a process, directly or not."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _read(str(children)).split()):
            found += [child, *_below(child)]
    return found


def _private_bytes(pid: int) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        # The process has ended.
        return b""


def page(peaks: list[Peaks], film: str) -> str:
    """The results for people."""
    short, long = peaks
    head = f"{short.minutes:g} minutes, MiB | {long.minutes:g} minutes, MiB | more"
    rows = []
    for kind in (*KINDS, PROGRAMS):
        low, high = short.private_mib.get(kind, 0.0), long.private_mib.get(kind, 0.0)
        rows.append(f"| {kind} | {low:.1f} | {high:.1f} | {_growth(low, high)} |")
    about = provenance()
    return "\n".join(
        [
            "# Memory of a worker and the length of a movie",
            "",
            f"`{command([short.minutes, long.minutes])}`, {about['date']}, {about['machine']}, "
            f"{about['versions']}.",
            "",
            f"Movies of {film}: {short.clips} and {long.clips} clips with the default recipe, "
            f"{short.wall_seconds:.0f} and {long.wall_seconds:.0f} s of wall time with one worker.",
            "",
            f"| task | {head} |",
            "|---|---|---|---|",
            *rows,
            "",
            "Private memory (`RssAnon`) of the worker process at its peak, looked at every "
            f"{1000 * _LOOK_SECONDS:.0f} ms; the object store's shared memory and mapped files do "
            "not count. Workers run one task after the other: a figure holds what earlier tasks "
            "left behind.",
            "",
        ]
    )


def command(minutes: Sequence[float]) -> str:
    """How these figures are made again."""
    return f"python -m benchmarks.memory --minutes {minutes[0]:g} {minutes[1]:g}"


def provenance() -> dict[str, str]:
    """When, where and with what."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores of {processor()}",
        "versions": f"Python {platform.python_version()}, Ray {ray.__version__}, "
        f"numpy {np.__version__}, {ffmpeg_version()}",
    }


def _growth(low: float, high: float) -> str:
    return f"{100 * (high / low - 1):+.1f} %" if low else "never seen"


def _ffmpeg(*words: str) -> None:
    subprocess.run([bundled_path("ffmpeg"), "-v", "error", "-nostdin", "-y", *words], check=True)


if __name__ == "__main__":
    main()
