"""How well clips of a whole movie are rebuilt from copies of it and of its parts.

    python -m benchmarks.films.rebuild_whole FOLDER [--copies NAME ...]

`FOLDER` is that of `benchmarks.films.near_duplicates`, which has made its dataset and copies. The
lock has Big Buck Bunny, its trailer, and the other movies, but none of the copies. Each copy is
rebuilt from alone, and two are made of one of them: without audio, and with noise instead.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.films.near_duplicates import FILM, TIMES
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.rebuild import MovieReport, Settings, rebuild
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.lock import Lock
from shards_spec.dataset.reader import open_dataset

#: Copies that are made from another copy, with ffmpeg's options.
_MADE = {
    "muted": "-an -c:v copy",
    "noise": "-f lavfi -i anoisesrc=r=44100:a=0.2 -map 0:v -map 1:a -shortest -c:v copy -c:a aac",
}
_OF = "bbb_small"


def main() -> None:
    """Print a row for each copy, and one for the other movies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    names = [*TIMES, *_MADE, "others"]
    parser.add_argument("--copies", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    folder, work = options.folder, options.folder.with_name(f"{options.folder.name}-rebuilt")
    whole = lock_dataset(open_dataset(str(folder.with_name(f"{folder.name}-shards"))))
    movies = [movie for movie in whole.movies if movie.movie_id not in TIMES]
    lock = replace(whole, movies=movies)
    for name in options.copies:
        copies = work / name
        shutil.rmtree(copies, ignore_errors=True)
        (copies / "from").mkdir(parents=True)
        for file in _files(folder, name, copies / "from"):
            (copies / "from" / file.name).hardlink_to(file)
        _write(_row(lock, name, copies))


def _files(folder: Path, name: str, into: Path) -> list[Path]:
    if name == "others":
        return [f for f in folder.iterdir() if f.stem not in TIMES and f.stem != FILM]
    if name in TIMES:
        return [next(folder.glob(f"{name}.*"))]
    source = next(folder.glob(f"{_OF}.*"))
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-i", str(source)]
    subprocess.run([*command, *_MADE[name].split(), str(into / f"{name}.mkv")], check=True)
    return []


def _row(lock: Lock, name: str, copies: Path) -> str:
    began = time.monotonic()
    summary = rebuild(lock, str(copies / "from"), str(copies / "out"), Settings())
    seconds = time.monotonic() - began
    own = next(report for report in summary.movies if report.movie_id == FILM)
    others = [clip for report in summary.movies if report is not own for clip in report.clips]
    false = sum(clip.in_dataset for clip in others if clip.status != "identical")
    start, speed = TIMES.get(name, (0.0, 1.0))
    return f"| {name} | {_found(own, start, speed)} | {false} | {seconds:.0f} |"


def _found(own: MovieReport, start: float, speed: float) -> str:
    counts = Counter(clip.status for clip in own.clips)
    words = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    matched = [clip for clip in own.clips if clip.copy_start_ns is not None]
    if not matched:
        return f"{words} | | "
    errors = [
        1000 * abs((clip.start_ns / 1e9 - start) / speed - (clip.copy_start_ns or 0) / 1e9)
        for clip in matched
    ]
    fits = [clip.frame_fit for clip in matched if clip.frame_fit is not None]
    return f"{words} | {np.median(errors):.1f}, {max(errors):.1f} | {np.mean(fits):.2f}"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
