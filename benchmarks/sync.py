"""How exact clips are: ours and three usual ways of cutting, measured alike.

    python -m benchmarks.sync

Every way cuts the same synthetic movies into the same clips. The movies carry their frame numbers
in the image, and a beep starts with every flash. PyAV reads back what each way wrote (for ours: the
film strips and FLAC of the samples), and the worst of all clips counts.

- frame error: the frame on screen at each fifth of a second of a clip, against the one on screen
  in the movie at that instant: distance of their presentation times.
- audio skew: when the beep is heard in the clip minus when its flash frame is shown there.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from benchmarks.support import RESULTS, processor
from pipeline.ffmpeg.binaries import ffmpeg_version
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films.beeps import (
    beeping,
    find_beeps,
    flash_times,
    hear,
    mux,
    picture,
    plan_of,
    write_wav,
)
from tests.support.films.media import Film, ffmpeg, read_number, shown_at
from tests.support.films.oracle import clips_of, decoded_audio

FILM = Film(seconds=40.0, fps=Fraction(24_000, 1_001), audio=(), gop=240)
RECIPE = Recipe(num_frames=16, short_side=112, store_audio=True, crop_bars=False)
FPS = RECIPE.fps


@dataclass(frozen=True)
class Shown:
    """What a clip shows and plays; seconds from its start."""

    start_seconds: float
    """Where it should start in the movie."""
    frame_times: list[float]
    frame_numbers: list[int]
    beeps: list[float]


@dataclass(frozen=True)
class Result:
    """The worst of all clips of a movie, cut in one way."""

    case: str
    way: str
    clips: int
    frame_error_ms: float
    audio_skew_ms: float
    beeps: int


def film_times(path: Path) -> dict[int, float]:
    """Frame number -> seconds from the first frame."""
    with av.open(str(path)) as container:
        shown = {
            read_number(frame.to_ndarray(format="rgb24")): float(frame.pts * frame.time_base)
            for frame in container.decode(video=0)
        }
    first = min(shown.values())
    return {number: time - first for number, time in shown.items()}


def judge(case: str, way: str, clips: Sequence[Shown], times: dict[int, float]) -> Result:
    """Compare clips with the movie whose frames are shown at `times`."""
    numbers = sorted(times, key=lambda number: times[number])
    order = [times[number] for number in numbers]
    frame_errors, skews = [], []
    for clip in clips:
        for step in range(RECIPE.num_frames):
            at = max(0, shown_at(clip.frame_times, step / FPS))
            wanted = numbers[shown_at(order, clip.start_seconds + step / FPS)]
            found = clip.frame_numbers[at]
            frame_errors.append(abs(times.get(found, np.inf) - times[wanted]))
        skews += _skews(clip, times)
    return Result(
        case=case,
        way=way,
        clips=len(clips),
        frame_error_ms=round(1000 * max(frame_errors), 3),
        audio_skew_ms=round(1000 * max(skews, key=abs, default=float("nan")), 3),
        beeps=len(skews),
    )


def _skews(clip: Shown, times: dict[int, float]) -> list[float]:
    """Each beep minus the nearest flash in the clip."""
    shown = dict(zip(clip.frame_numbers, clip.frame_times, strict=True))
    offset = float(np.median([shown[n] - times[n] for n in shown if n in times]))
    # Flashes between two frames of a strip are where the strip's times put them.
    flashes = np.array([shown.get(n, times[n] + offset) for n in FILM.flash_frames if n in times])
    inside = [beep for beep in clip.beeps if 0.1 < beep < RECIPE.num_frames / FPS - 0.1]
    return [float(beep - flashes[np.abs(flashes - beep).argmin()]) for beep in inside]


def ours(path: Path, folder: Path) -> list[Shown]:
    """The samples of a dataset."""
    plan = plan_of(path, RECIPE, seconds=10.0)
    sound, sound_bytes = decoded_audio(plan)
    beeps = {}
    for clip in sound.clips:
        begin = clip.logmel_offset + clip.logmel_bytes
        flac = io.BytesIO(sound_bytes[begin : begin + clip.flac_bytes].tobytes())
        samples, rate = soundfile.read(flac)
        late = clip.skew_ns / NANOSECONDS
        beeps[clip.clip_number] = [beep + late for beep in find_beeps(samples, rate)]
    clips, times = [], film_times(path)
    for number, (_, frames) in clips_of(plan).items():
        start = plan.clip_start_ns(number) / NANOSECONDS
        clips.append(_ours(start, [read_number(f) for f in frames], beeps[number], times))
    return clips


def _ours(start: float, numbers: list[int], beeps: list[float], times: dict[int, float]) -> Shown:
    """A strip's frame i is on screen at i / fps, and since its own presentation time."""
    since = [min(times[n] - start, step / FPS) for step, n in enumerate(numbers)]
    return Shown(start, since, numbers, beeps)


def seek_copy(path: Path, folder: Path) -> list[Shown]:
    """One ffmpeg per clip: video re-encoded, audio packets copied (as NeMo Curator does)."""
    return _seek(path, folder, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy")


def seek_code(path: Path, folder: Path) -> list[Shown]:
    """One ffmpeg per clip: video and audio re-encoded."""
    return _seek(path, folder, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")


def _seek(path: Path, folder: Path, *coding: str) -> list[Shown]:
    clips = []
    for number, (start, end) in enumerate(_grid()):
        out = folder / f"clip-{number}.mp4"
        ffmpeg("-ss", f"{start:.3f}", "-to", f"{end:.3f}", "-i", path, *coding, out)
        clips.append(_read(start, out, out))
        out.unlink()
    return clips


def segments_copy(path: Path, folder: Path) -> list[Shown]:
    """Two segment muxers without coding, one for video, one for audio (as video2dataset does)."""
    starts = ",".join(f"{start:.3f}" for start, _ in _grid()[1:])
    split = ("-f", "segment", "-segment_times", starts, "-reset_timestamps", "1", "-c", "copy")
    ffmpeg("-i", path, "-map", "0:v", *split, folder / "video-%03d.mp4")
    ffmpeg("-i", path, "-map", "0:a", *split, folder / "audio-%03d.mp4")
    videos, audios = sorted(folder.glob("video-*")), sorted(folder.glob("audio-*"))
    clips = [
        _read(start, video, audio)
        for (start, _), video, audio in zip(_grid(), videos, audios, strict=False)
    ]
    for file in (*videos, *audios):
        file.unlink()
    return clips


WAYS: dict[str, Callable[[Path, Path], list[Shown]]] = {
    "ours": ours,
    "seek, copy audio": seek_copy,
    "seek, code both": seek_code,
    "segment muxer, copy": segments_copy,
}


def _grid() -> list[tuple[float, float]]:
    length = RECIPE.num_frames / FPS
    count = int(FILM.seconds / length)
    return [(number * length, (number + 1) * length) for number in range(count)]


def _read(start: float, video: Path, audio: Path) -> Shown:
    with av.open(str(video)) as container:
        frames = [
            (float(frame.pts * frame.time_base), read_number(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    return Shown(start, [time for time, _ in frames], [number for _, number in frames], hear(audio))


def make_films(folder: Path) -> dict[str, Path]:
    """The cases."""
    # Matroska would round the times of its frames to milliseconds.
    video = picture(folder, *FILM.video, suffix=".mp4", film=FILM)
    times = flash_times(FILM)
    wav = write_wav(folder / "s.wav", beeping(FILM.seconds, times))
    films = {"AAC in MP4": mux(folder / "plain.mp4", video, wav, "-c:a", "aac")}
    films["AAC in MPEG-TS"] = mux(folder / "plain.ts", video, wav, "-c:a", "aac")
    films["AC-3 in Matroska"] = mux(folder / "ac3.mkv", video, wav, "-c:a", "ac3")
    films["Opus in MP4"] = mux(folder / "opus.mp4", video, wav, "-c:a", "libopus")
    late = ("-af", "atrim=start=0.7", "-c:a", "aac")
    films["audio starts 0.7 s late"] = mux(folder / "late.mkv", video, wav, *late)
    films["0.3 s of audio missing at 10 s"] = folder / "gap.mp4"
    drop = "noise=drop='between(pts*tb,10,10.3)'"
    ffmpeg("-i", films["AAC in MP4"], "-c", "copy", "-bsf:a", drop, folder / "gap.mp4")
    own = write_wav(folder / "own.wav", beeping(FILM.seconds, [time / 1.001 for time in times]))
    clock = ("-c:a", "aac", "-bsf:a", "setts=ts=round(TS*1.001)")
    films["audio clock 0.1 % off"] = mux(folder / "drift.mkv", video, own, *clock)
    films["variable frame rate"] = folder / "vfr.mkv"
    kept = "select='mod(floor(t),2)+not(mod(n,3))+between(mod(t,1),0.48,0.6)'"
    vfr = ("-vf", kept, "-fps_mode", "vfr", "-g", "250", "-c:a", "copy", folder / "vfr.mkv")
    ffmpeg("-i", films["AAC in MP4"], *vfr)
    return films


def main() -> int:
    """Cut all movies in all ways, compare, and write the table."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, path in make_films(folder).items():
            times = film_times(path)
            for way, cut in WAYS.items():
                results.append(judge(case, way, cut(path, folder), times))
                print(results[-1])
    _write(results)
    return 0


def _write(results: list[Result]) -> None:
    RESULTS.mkdir(exist_ok=True)
    conditions = {
        "command": "python -m benchmarks.sync",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} x {processor()}",
        "versions": f"ffmpeg {ffmpeg_version()}, PyAV {av.__version__}, "
        f"Python {platform.python_version()}",
    }
    record = {"conditions": conditions, "results": [asdict(result) for result in results]}
    (RESULTS / "sync.json").write_text(json.dumps(record, indent=2) + "\n")
    lines = ["# How exact clips are", "", _INTRODUCTION, ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    lines += [
        "",
        "Worst frame error / worst audio skew over all clips of a movie, milliseconds:",
        "",
    ]
    lines += ["| movie | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for case in dict.fromkeys(result.case for result in results):
        cells = [_cell(result) for result in results if result.case == case]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    (RESULTS / "sync.md").write_text("\n".join(lines) + "\n")


def _cell(result: Result) -> str:
    return f"{result.frame_error_ms:.1f} / {result.audio_skew_ms:+.2f}"


_INTRODUCTION = f"""\
Synthetic movies of {FILM.seconds:.0f} s (24000/1001 frames/s, a keyframe every 10 s) are cut into
clips of {RECIPE.num_frames / FPS} s in four ways and read back by the same code (see
`benchmarks/sync.py`). A frame error of 0 means that every frame is the one that was on screen.
A positive skew means that the beep comes after its flash. "Seek" is `ffmpeg -ss` before the
input, once per clip; the segment muxer copies packets, so it can cut video at keyframes only, and
its pieces are not the requested clips."""


if __name__ == "__main__":
    sys.exit(main())
