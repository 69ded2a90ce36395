"""What a graphics card decodes (NVDEC), against the CPU cores of its node.

    python -m benchmarks.decoding.nvdec --movie big_buck_bunny.mp4 [--movies FOLDER]

Needs a card with NVDEC, and an ffmpeg that was built with CUDA (`FFMPEG_BINARY`). H.264 and HEVC at
1080p are made from the movie. For each, three figures in movie-hours per hour: the CPU, one decoder
thread per core at the same time; the card, with frames that stay on it; and the card as the
pipeline uses it, frames copied to main memory. Several processes share a card: the best number
counts. The CRCs of all frames of card and CPU are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.films.speed_films import PART_SECONDS, SpeedFilm, speed_film
from benchmarks.support import RESULTS, processor
from pipeline.ffmpeg import device_problem
from pipeline.ffmpeg.binaries import ffmpeg_path, ffmpeg_version

_CARD = "cuda"
_1080P = ("-an", "-vf", "scale=1920:1080:flags=lanczos", "-g", "96")
FILMS = (
    SpeedFilm(
        "nvdec-h264",
        ".mp4",
        "H.264 1080p, 8 Mbit/s",
        (*_1080P, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "8M", "-bf", "3"),
    ),
    SpeedFilm(
        "nvdec-hevc",
        ".mp4",
        "HEVC 1080p, 8 bits, 5 Mbit/s",
        (*_1080P, "-c:v", "libx265", "-preset", "superfast", "-b:v", "5M", "-pix_fmt", "yuv420p"),
    ),
)


@dataclass(frozen=True)
class Speed:
    """Movie-hours per hour of one movie."""

    about: str
    cpu: float
    card: float
    card_copied: float
    has_same_frames: bool


def measure(path: Path, about: str, cores: int, parallel: Sequence[int]) -> Speed:
    """Decode a movie by CPU and card."""
    on_card = ["-hwaccel", _CARD, "-hwaccel_output_format", _CARD]
    return Speed(
        about,
        _rate(path, [], cores),
        max(_rate(path, on_card, number) for number in parallel),
        max(_rate(path, ["-hwaccel", _CARD], number) for number in parallel),
        _frame_crcs(path, []) == _frame_crcs(path, ["-hwaccel", _CARD]),
    )


def _rate(path: Path, options: Sequence[str], number: int) -> float:
    """Movie-hours per hour of several decoders at the same time."""
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-threads", "1", *options, "-i", str(path)]
    began = time.monotonic()
    processes = [
        subprocess.Popen([*command, "-map", "0:v", "-f", "null", "-"]) for _ in range(number)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{number} decoders at the same time failed: {' '.join(command)}")
    return number * PART_SECONDS / (time.monotonic() - began)


def _frame_crcs(path: Path, options: Sequence[str]) -> bytes:
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-threads", "1", *options, "-i", str(path)]
    command += ["-map", "0:v", "-vf", "format=yuv420p", "-f", "framecrc", "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _card_name() -> str:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown card"


def page(speeds: Sequence[Speed], cores: int) -> str:
    """The result as Markdown."""
    lines = [
        "# Decoding on a graphics card",
        "",
        f"`python -m benchmarks.decoding.nvdec`, {time.strftime('%Y-%m-%d')}; {_card_name()}; "
        f"{cores} cores of {processor()}; FFmpeg {ffmpeg_version()}. Movie-hours per "
        "hour. Both movies are a re-encoded minute of Big Buck Bunny (CC BY 3.0, (c) Blender "
        "Foundation).",
        "",
        f"| movie | {cores} CPU cores | card | card, frames copied | frames equal |",
        "|---|---|---|---|---|",
    ]
    for speed in speeds:
        equal = "yes" if speed.has_same_frames else "**no**"
        lines.append(
            f"| {speed.about} | {speed.cpu:.0f} | {speed.card:.0f} | {speed.card_copied:.0f} "
            f"| {equal} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movie", type=Path, required=True, help="Big Buck Bunny, 720p")
    parser.add_argument("--movies", type=Path, help="folder that keeps the movies made from it")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--out", type=Path, default=RESULTS / "nvdec.md")
    given = parser.parse_args()
    problem = device_problem(_CARD)
    if problem:
        raise SystemExit(
            f"error: nothing to measure: {problem}; run this on a node with an NVIDIA card, with "
            "FFMPEG_BINARY set to a build with CUDA"
        )
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="reelshards-movies-") as scratch:
        speeds = []
        for film in FILMS:
            path = speed_film(given.movies or Path(scratch), given.movie, film)
            speeds.append(measure(path, film.about, cores, given.parallel))
    given.out.write_text(page(speeds, cores))


if __name__ == "__main__":
    main()
