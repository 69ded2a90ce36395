"""The movies that `benchmarks.costs` measures: Big Buck Bunny and re-encoded parts of it.

Big Buck Bunny: (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.

Re-encoded parts are not movies of their own: 1080p is scaled up from 720p, and its bit rate is set
to a typical value, because upscaled detail would need less.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.ffmpeg.binaries import ffmpeg_path


@dataclass(frozen=True)
class Kind:
    """How movies of one kind are encoded."""

    name: str
    suffix: str
    options: tuple[str, ...]
    """Options of ffmpeg; none for the original."""


KINDS = (
    Kind(
        "mpeg2-480p",
        ".mpg",
        ("-vf", "scale=854:480", "-c:v", "mpeg2video", "-b:v", "6M", "-g", "15", "-c:a", "ac3"),
    ),
    Kind("h264-720p", ".mp4", ()),
    Kind(
        "h264-1080p",
        ".mkv",
        (
            *("-vf", "scale=1920:1080:flags=lanczos", "-c:v", "libx264", "-preset", "fast"),
            *("-b:v", "8M", "-g", "96", "-c:a", "ac3", "-b:a", "448k"),
        ),
    ),
    Kind(
        "hevc-1080p",
        ".mkv",
        (
            *("-vf", "scale=1920:1080:flags=lanczos", "-c:v", "libx265", "-preset", "superfast"),
            *("-x265-params", "log-level=error", "-b:v", "5M", "-g", "96"),
            *("-c:a", "eac3", "-b:a", "256k"),
        ),
    ),
)
#: First second and length of the parts: different scenes, and three lengths, to separate
#: the cost that grows with a movie from the constant part.
PARTS = ((20, 40), (150, 60), (300, 20))


def make_films(folder: Path, whole: Path) -> list[Path]:
    """Movies of all kinds; those that are not in `folder` yet are made; names are `KIND-NUMBER`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for kind in KINDS:
        for number, (start, seconds) in enumerate(PARTS):
            options = kind.options or ("-c", "copy")
            path = folder / f"{kind.name}-{number}{kind.suffix}"
            if not path.exists():
                _encode(whole, path, start, seconds, options)
            found.append(path)
    film = folder / f"h264-720p-{len(PARTS)}.mp4"
    if not film.exists():
        shutil.copyfile(whole, film)
    return [*found, film]


def make_repeated(folder: Path, kind: Kind, times: int, path: Path) -> Path:
    """Repeat the second part of a kind without re-encoding it; returns the path."""
    part = folder / f"{kind.name}-1{kind.suffix}"
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1)]
    subprocess.run([*command, "-i", str(part), "-c", "copy", str(path)], check=True)
    return part


def _encode(whole: Path, path: Path, start: int, seconds: int, options: tuple[str, ...]) -> None:
    part = path.with_name(f"part{path.suffix}")
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-ss", str(start)]
    command += ["-t", str(seconds), "-i", str(whole), *options, str(part)]
    subprocess.run(command, check=True)
    part.replace(path)
