"""Copies of a movie of many kinds, as other people have them, made with ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.ffmpeg.binaries import ffmpeg_path

_ENCODED = "-c:v libx264 -preset ultrafast -crf 28 -c:a aac -b:a 96k"

#: Positions of the cut and of the insertion, and length of the insertion, seconds.
_CUT, _INSERTED_AT, _INSERTED = (41.5, 58.25), 50.0, 12.0


@dataclass(frozen=True)
class Case:
    """A kind of copy: second t of the movie is second (t + offset) / speed of it."""

    key: str
    """Short name, for `--kinds` and files."""
    name: str
    suffix: str
    options: str
    """ffmpeg's options; empty for the same file."""
    speed: float = 1.0
    offset: float = 0.0
    cut: tuple[float, float] = (0.0, 0.0)
    """Range of the movie that the copy lacks."""
    inserted: float = 0.0
    """Length of other material that the copy has there, seconds."""
    has_audio: bool = True
    """Whether its audio is the movie's; if not, clips count as made if their video fits."""

    def copy_seconds(self, seconds: float) -> float:
        """The time in the copy of a time in the movie."""
        if (self.cut[1] or self.inserted) and seconds >= self.cut[1]:
            seconds += self.inserted - (self.cut[1] - self.cut[0])
        return (seconds + self.offset) / self.speed

    def has(self, start: float, end: float) -> bool:
        """Whether the copy has all of a range of the movie."""
        return end <= self.cut[0] or start >= self.cut[1]


CASES = (
    Case("same", "the same file", "mp4", ""),
    Case("remuxed", "another container", "mkv", "-c copy"),
    Case(
        "small",
        "encoded again, small",
        "mkv",
        "-vf scale=480:270 -c:v libx264 -preset ultrafast -crf 36 -c:a libopus -b:a 40k",
    ),
    Case(
        "late",
        "starts 7.3 s later",
        "mp4",
        f"-vf tpad=start_duration=7.3 -af adelay=7300:all=1 {_ENCODED}",
        offset=7.3,
    ),
    Case(
        "pal",
        "25/24 faster, higher pitch",
        "mp4",
        f"-vf setpts=PTS*24/25 -r 25 -af asetrate=44100*25/24,aresample=44100 {_ENCODED}",
        25 / 24,
    ),
    Case(
        "pal_pitch",
        "25/24 faster, same pitch",
        "mp4",
        f"-vf setpts=PTS*24/25 -r 25 -af atempo=25/24 {_ENCODED}",
        25 / 24,
    ),
    Case(
        "slow",
        "24/25 slower, mono, quiet",
        "mp4",
        "-vf setpts=PTS*25/24 -af asetrate=44100*24/25,aresample=44100,volume=0.2 -ac 1 "
        + _ENCODED,
        24 / 25,
    ),
    Case("cut", "41.5 s to 58.25 s cut out", "mp4", "CUT", cut=_CUT),
    Case(
        "inserted",
        "12 s of something else inserted at 50 s",
        "mp4",
        "INSERTED",
        cut=(_INSERTED_AT, _INSERTED_AT),
        inserted=_INSERTED,
    ),
    Case(
        "odd",
        "3 % faster, higher pitch",
        "mp4",
        f"-vf setpts=PTS/1.03 -af asetrate=44100*1.03,aresample=44100 {_ENCODED}",
        1.03,
    ),
    Case("muted", "without audio", "mp4", f"-an {_ENCODED}", has_audio=False),
    Case(
        "dubbed",
        "with other audio, starts 7.3 s later",
        "mp4",
        f"OTHER_AUDIO -vf tpad=start_duration=7.3 {_ENCODED}",
        offset=7.3,
        has_audio=False,
    ),
    Case(
        "boxed",
        "silent, letterboxed to 4:3, gray, 25/24 faster",
        "mp4",
        "-vf scale=640:360,pad=640:480:0:60,hue=s=0,setpts=PTS*24/25 -r 25 "
        f"-af volume=0,asetrate=44100*25/24,aresample=44100 {_ENCODED}",
        25 / 24,
        has_audio=False,
    ),
    Case(
        "other_fps",
        "silent, 30 frames per second, slightly cropped",
        "mp4",
        f"-vf crop=iw*0.96:ih*0.96,fps=30 -af volume=0 {_ENCODED}",
        has_audio=False,
    ),
)


def make_copy(case: Case, movie: Path, copy: Path) -> None:
    """Make the copy of a movie."""
    if not case.options:
        shutil.copy(movie, copy)
        return
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-i", str(movie)]
    subprocess.run([*command, *_options(case), str(copy)], check=True)


def _options(case: Case) -> list[str]:
    if case.options in ("CUT", "INSERTED"):
        start, end = case.cut
        graph, inputs = _graph(start, end, case.inserted)
        return [*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[a]", *_ENCODED.split()]
    noise = "-f lavfi -i anoisesrc=r=44100:a=0.3:c=pink,tremolo=f=3.1:d=0.9,aecho"
    other = f"{noise} -map 0:v:0 -map 1:a -shortest"
    return case.options.replace("OTHER_AUDIO", other).split()


def _graph(start: float, end: float, inserted: float) -> tuple[str, list[str]]:
    """A filter graph: the movie up to `start`, other material, and the movie from `end`."""
    graph = (
        f"[0:v]split[v0][v1];[v0]trim=0:{start},setpts=PTS-STARTPTS[a];"
        f"[v1]trim={end},setpts=PTS-STARTPTS[b];[0:a]asplit[a0][a1];"
        f"[a0]atrim=0:{start},asetpts=PTS-STARTPTS[c];[a1]atrim={end},asetpts=PTS-STARTPTS[d];"
    )
    if not inserted:
        return f"{graph}[a][c][b][d]concat=n=2:v=1:a=1[v][a]", []
    between = f"-f lavfi -t {inserted} -i mandelbrot=s=1280x720:r=24 "
    between += f"-f lavfi -t {inserted} -i anoisesrc=r=44100:a=0.2"
    graph += "[a]format=yuv420p,setsar=1[a2];[b]format=yuv420p,setsar=1[b2];"
    graph += "[1:v]format=yuv420p,setsar=1[e];[2:a]aformat=channel_layouts=stereo[f];"
    return f"{graph}[a2][c][e][f][b2][d]concat=n=3:v=1:a=1[v][a]", between.split()
