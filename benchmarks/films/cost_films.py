"""The movies that `benchmarks.costs` measures: parts of those of `benchmarks.preprocess`.

Big Buck Bunny: (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.

Re-encoded parts are not movies of their own: 1080p is scaled up from 720p, and its bit rate is set
to a typical value, because upscaled detail would need less.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.films.speed_films import SPEED_FILMS, SpeedFilm, speed_film
from pipeline.ffmpeg.binaries import ffmpeg_path


@dataclass(frozen=True)
class Kind:
    """Movies of one kind, which are parts of another movie."""

    name: str
    film: SpeedFilm

    @property
    def suffix(self) -> str:
        """Of the files' names."""
        return self.film.suffix


_FILMS = {film.name: film for film in SPEED_FILMS}
KINDS = (
    Kind("mpeg2-480p", _FILMS["mpeg2-480p"]),
    Kind("h264-720p", _FILMS["bbb-720p"]),
    Kind("h264-1080p", _FILMS["h264-1080p"]),
    Kind("hevc-1080p", _FILMS["hevc-1080p10"]),
)
#: First second and length of the parts: different scenes, and three lengths, to separate
#: the cost that grows with a movie from the constant part.
PARTS = ((0, 20), (20, 30), (50, 10))


def make_films(folder: Path, whole: Path) -> list[Path]:
    """Movies of all kinds; those that are not in `folder` yet are made; names are `KIND-NUMBER`.

    The movies that they are parts of are kept in `folder` with `-whole` added to its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for kind in KINDS:
        film = speed_film(folder.with_name(f"{folder.name}-whole"), whole, kind.film)
        for number, (start, seconds) in enumerate(PARTS):
            path = folder / f"{kind.name}-{number}{kind.suffix}"
            if not path.exists():
                _cut(film, path, start, seconds)
            found.append(path)
    film = folder / f"h264-720p-{len(PARTS)}.mp4"
    if not film.exists():
        shutil.copyfile(whole, film)
    return [*found, film]


def make_repeated(folder: Path, kind: Kind, times: int, path: Path) -> Path:
    """Repeat the second part of a kind without re-encoding it; returns the path."""
    part = folder / f"{kind.name}-1{kind.suffix}"
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1)]
    command += ["-i", str(part), "-c", "copy", *_without_edit_list(path), str(path)]
    subprocess.run(command, check=True)
    return part


def _cut(whole: Path, path: Path, start: int, seconds: int) -> None:
    part = path.with_name(f"part{path.suffix}")
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-ss", str(start)]
    command += ["-t", str(seconds), "-i", str(whole), "-c", "copy", *_without_edit_list(path)]
    subprocess.run([*command, str(part)], check=True)
    part.replace(path)


def _without_edit_list(path: Path) -> tuple[str, ...]:
    """Options of the muxer: movies with an edit list are decoded whole, unlike most."""
    is_mp4 = path.suffix == ".mp4"
    return ("-avoid_negative_ts", "make_zero", *(("-use_editlist", "0") if is_mp4 else ()))
