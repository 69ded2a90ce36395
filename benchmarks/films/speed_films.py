"""The movies that `benchmarks.preprocess` measures: Big Buck Bunny and re-encoded parts of it.

Big Buck Bunny: (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.ffmpeg.binaries import ffmpeg_path

#: First second and length of the part that is re-encoded.
START_SECONDS, PART_SECONDS = 20, 60

# Without an edit list, which would hide the frames before second 20 that are copied as well: movies
# with one are decoded whole.
_COPY = ("-c", "copy", "-avoid_negative_ts", "make_zero", "-use_editlist", "0")
_1080P = ("-vf", "scale=1920:1080:flags=lanczos")
_H264 = (*_1080P, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "8M", "-bf", "3", "-g", "96")
_2160P = ("-vf", "scale=3840:2160:flags=lanczos")
_HEVC = (
    *("-c:v", "libx265", "-preset", "superfast", "-pix_fmt", "yuv420p10le"),
    *("-x265-params", "log-level=error", "-g", "96", "-c:a", "eac3"),
)
_480P = ("-vf", "scale=854:480")
_MPEG2 = (*_480P, "-c:v", "mpeg2video", "-b:v", "6M", "-g", "15")
_AAC = ("-c:a", "aac", "-b:a", "192k")


@dataclass(frozen=True)
class SpeedFilm:
    """A movie, and how it is made from the original."""

    name: str
    suffix: str
    about: str
    options: tuple[str, ...] = ()
    """Of ffmpeg; none for the whole original."""
    seconds: int = PART_SECONDS
    """Length of the part that is re-encoded."""
    decode: str = "exact"
    """Mode of the runs: `--decode`."""
    same_as: str = ""
    """Name of the kind whose file it is, for another mode."""


SPEED_FILMS = (
    SpeedFilm("bbb-720p", ".mp4", "Big Buck Bunny, H.264 720p, 0.7 Mbit/s, 597 s"),
    SpeedFilm("bbb-720p-60s", ".mp4", "60 s of Big Buck Bunny, H.264 720p", _COPY),
    # For peers that take minutes.
    SpeedFilm("bbb-720p-20s", ".mp4", "20 s of Big Buck Bunny, H.264 720p", _COPY, seconds=20),
    SpeedFilm(
        "h264-1080p",
        ".mp4",
        "H.264 1080p, 8 Mbit/s, B-pyramid, 120 s",
        (*_H264, *_AAC),
        seconds=120,
    ),
    SpeedFilm(
        "h264-1080p-fast",
        ".mp4",
        "H.264 1080p, 8 Mbit/s, B-pyramid, 120 s, --decode fast",
        (*_H264, *_AAC),
        seconds=120,
        decode="fast",
        same_as="h264-1080p",
    ),
    SpeedFilm(
        "h264-1080p-mkv", ".mkv", "H.264 1080p, 8 Mbit/s, B-pyramid, in Matroska", (*_H264, *_AAC)
    ),
    SpeedFilm(
        "h264-1080p-flat",
        ".mp4",
        "H.264 1080p, 8 Mbit/s, B-frames never referenced",
        (*_H264, "-x264-params", "b-pyramid=none", *_AAC),
    ),
    SpeedFilm(
        "h264-1080p-no-b",
        ".mp4",
        "H.264 1080p, 8 Mbit/s, no B-frames",
        (*_H264, "-bf", "0", *_AAC),
    ),
    SpeedFilm(
        "hevc-1080p10", ".mkv", "HEVC 1080p, 10 bits, 5 Mbit/s", (*_1080P, *_HEVC, "-b:v", "5M")
    ),
    SpeedFilm(
        "hevc-2160p10",
        ".mkv",
        "HEVC 2160p, 10 bits, 15 Mbit/s, 20 s",
        (*_2160P, *_HEVC, "-b:v", "15M"),
        seconds=20,
    ),
    SpeedFilm(
        "mpeg2-480p",
        ".mpg",
        "MPEG-2 480p, 6 Mbit/s",
        (*_MPEG2, "-c:a", "ac3"),
    ),
    SpeedFilm(
        "mpeg2-480p-mkv",
        ".mkv",
        "MPEG-2 480p, 6 Mbit/s, B-frames, in Matroska",
        (*_MPEG2, "-bf", "2", "-c:a", "ac3"),
    ),
    SpeedFilm(
        "mpeg4-480p",
        ".mkv",
        "MPEG-4 part 2 480p, 1.5 Mbit/s, B-frames",
        (*_480P, "-c:v", "mpeg4", "-b:v", "1500k", "-g", "240", "-bf", "2", "-c:a", "mp3"),
    ),
    SpeedFilm(
        "vp9-720p",
        ".webm",
        "VP9 720p, 2 Mbit/s",
        (
            *("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"),
            *("-c:a", "libopus"),
        ),
    ),
)


def speed_film(folder: Path, whole: Path, film: SpeedFilm) -> Path:
    """The movie; made if it is not in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{film.same_as or film.name}{film.suffix}"
    if path.exists():
        return path
    if not film.options:
        path.hardlink_to(whole)
        return path
    part = path.with_name(f"part{film.suffix}")
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-ss", str(START_SECONDS)]
    command += ["-t", str(film.seconds), "-i", str(whole), *film.options, str(part)]
    subprocess.run(command, check=True)
    part.replace(path)
    return path
