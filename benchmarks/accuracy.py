"""Every stored frame and the audio of every clip of real movies, compared with PyAV.

    python -m benchmarks.accuracy FOLDER

PyAV decodes each movie of FOLDER from its start, without our filter graphs, seeks and timelines;
of its audio, frames that follow each other within the rounding of their times are continuous. A
stored frame is wrong if another frame within half a second resembles it clearly more than the one
that is on screen at its time. The audio of a clip is compared at all offsets within 20 ms; the one
with the highest correlation is its offset.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.support import RESULTS
from benchmarks.support.machine import processor
from benchmarks.support.pyav_reference import Reference, reference, small_luma
from pipeline.ffmpeg.binaries import ffmpeg_version
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.sample import AUDIO, split_members
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.tables import clip_rows, movie_rows
from shards_spec.storage import Storage

RECIPE = ("--num-frames", "8", "--fps", "5", "--short-side", "128", "--store-audio")
#: Drop rules off: all clips are compared.
RECIPE += ("--black-luma", "0", "--frozen-motion", "0", "--silent-dbfs", "-200", "--no-crop-bars")
#: How far around the time of a frame others are tried.
NEAR_SECONDS = 0.5
#: Another frame resembles a stored one clearly more if its mean difference is below this share of
#: that of the frame on screen, and by this many levels of luma.
CLEARLY = 0.6
MIN_LEVELS = 0.75
#: Offsets of the audio that are tried, each way.
MAX_OFFSET_SECONDS = 0.02
#: Clips with less audio than this (RMS of full scale) have no measurable offset.
MIN_RMS = 1e-3
#: Periodic audio correlates as well at other offsets; above this share of the best it is left out.
MAX_SIMILAR = 0.98


@dataclass(frozen=True)
class Accuracy:
    """How well one movie's clips agree with PyAV."""

    movie: str
    codec: str
    seconds: float
    num_frames: int
    """Stored frames that were compared."""
    num_wrong: int
    num_audio_clips: int
    """Clips whose audio offset was measured."""
    median_offset_samples: float
    """At the recipe's rate; positive if stored audio is late."""
    max_offset_samples: float
    """Largest absolute offset."""
    error: str = ""
    """Why the movie was not compared."""


def is_wrong(stored: NDArray[np.uint8], seconds: float, truth: Reference) -> bool:
    """Whether another frame near a time resembles a stored frame clearly more."""
    shown = int(np.searchsorted(truth.frame_seconds, seconds + 1e-6, side="right")) - 1
    near = np.flatnonzero(np.abs(truth.frame_seconds - seconds) <= NEAR_SECONDS)
    near = np.union1d(near, [max(0, shown)])
    # Without their means: one level of brightness makes another frame of a slow fade look closer.
    others, own_luma = truth.frames[near].astype(np.float32), small_luma(stored)
    others -= others.mean(axis=(1, 2), keepdims=True)
    away = np.abs(others - (own_luma - own_luma.mean())).mean(axis=(1, 2))
    own = float(away[near == max(0, shown)][0])
    return bool(away.min() < CLEARLY * own and own - away.min() > MIN_LEVELS)


def offset_samples(stored: NDArray[np.float32], first: int, truth: Reference, reach: int) -> float:
    """By how many samples stored audio is late; NaN if that cannot be measured."""
    begin, end = first - reach, first + len(stored) + reach
    if begin < 0 or end > len(truth.audio) or np.sqrt(np.mean(stored**2)) < MIN_RMS:
        return float("nan")
    heard = truth.audio[begin:end].astype(np.float64)
    energy = np.cumsum(np.concatenate([[0.0], heard**2]))
    norm = np.sqrt(np.maximum(energy[len(stored) :] - energy[: -len(stored)], 1e-12))
    correlation = np.correlate(heard, stored, mode="valid") / norm
    best = int(correlation.argmax())
    far = np.abs(np.arange(len(correlation)) - best) > reach // 20
    is_ambiguous = correlation[far].max() > MAX_SIMILAR * correlation[best]
    if is_ambiguous or not 0 < best < len(correlation) - 1:
        return float("nan")
    # The vertex of the parabola through the highest value and its neighbors.
    left, middle, right = correlation[best - 1 : best + 2]
    vertex = 0.5 * (left - right) / (left - 2 * middle + right)
    return float(reach - best - vertex)


def compare(path: Path, data: str, movie: MovieRow, rows: list[ClipRow]) -> Accuracy:
    """Compare all clips of one movie."""
    rate_hz = rows[0].sample_rate_hz
    truth = reference(path, movie.audio_track, rate_hz)
    reach = round(MAX_OFFSET_SECONDS * rate_hz)
    num_wrong, offsets = 0, []
    for row, frames, samples in stored_clips(data, rows):
        start = row.start_ns / 1e9
        for index, frame in enumerate(frames):
            if is_wrong(frame, start + index / row.fps, truth):
                num_wrong += 1
                print(f"{row.clip_id}: frame {index} is wrong", flush=True)
        first = round((row.start_ns + row.av_skew_ns) * rate_hz / 1e9)
        offsets.append(offset_samples(samples, first, truth, reach))
        if abs(offsets[-1]) > 1:
            print(f"{row.clip_id}: audio {offsets[-1]:+.1f} samples", flush=True)
    measured = np.array([offset for offset in offsets if not np.isnan(offset)])
    return Accuracy(
        movie=path.name,
        codec=movie.video_codec,
        seconds=round(movie.duration_ns / 1e9, 2),
        num_frames=sum(row.num_frames for row in rows),
        num_wrong=num_wrong,
        num_audio_clips=len(measured),
        median_offset_samples=0.0 + round(float(np.median(measured)), 2) if len(measured) else 0.0,
        max_offset_samples=round(float(np.abs(measured).max()), 2) if len(measured) else 0.0,
    )


def stored_clips(
    data: str, rows: list[ClipRow]
) -> Iterator[tuple[ClipRow, NDArray[np.uint8], NDArray[np.float32]]]:
    """Rows with their frames (T, H, W, 3) and audio samples."""
    storage = Storage(data)
    for row in rows:
        (sample,) = read_clips(storage, [row])
        tar = storage.get_range(row.shard, row.tar_offset, row.tar_bytes)
        flac = io.BytesIO(bytes(split_members(tar)[row.clip_id][AUDIO]))
        samples, _ = soundfile.read(flac, dtype="float32")
        yield row, sample.frames, samples


def page(found: list[Accuracy], segment_seconds: str) -> str:
    """The result page."""
    compared = [one for one in found if not one.error]
    frames, wrong = sum(o.num_frames for o in compared), sum(o.num_wrong for o in compared)
    worst = max((one.max_offset_samples for one in compared), default=0.0)
    lines = [
        "# Stored frames and audio of real movies, compared with PyAV",
        "",
        f"`python -m benchmarks.accuracy FOLDER --segment-seconds {segment_seconds}`, "
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, Python "
        f"{platform.python_version()}, ffmpeg {ffmpeg_version()}, PyAV {av.__version__}.",
        "",
        f"{len(compared)} movies: **{wrong} of {frames} stored frames are wrong**; audio is at "
        f"most {worst:g} samples off, at the recipe's 16 kHz.",
        "",
        "| movie | codec | seconds | frames | wrong | clips with audio | median offset, samples "
        "| largest offset, samples |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        figures = one.error or (
            f"{one.num_frames} | {one.num_wrong} | {one.num_audio_clips} | "
            f"{one.median_offset_samples:g} | {one.max_offset_samples:g}"
        )
        lines.append(f"| {one.movie} | {one.codec} | {one.seconds:g} | {figures} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Preprocess a folder, compare, and write the result page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of movies")
    parser.add_argument("--segment-seconds", default="10", help="length of a segment")
    parser.add_argument("--out", type=Path, default=RESULTS / "accuracy.md", help="result file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelshards-accuracy-") as data:
        command = [sys.executable, "-m", "pipeline", "preprocess", str(given.folder)]
        command += ["--out", data, "--segment-seconds", given.segment_seconds, *RECIPE]
        subprocess.run(command, check=False)
        dataset = open_dataset(data)
        rows = clip_rows(dataset.clips)
        found = []
        for movie in movie_rows(dataset.movies):
            path = Path(movie.source_uri.removeprefix("file://"))
            if movie.status != "done":
                why = f"{movie.status}: {movie.error_class} | | | |"
                found.append(Accuracy(path.name, "", 0.0, 0, 0, 0, 0.0, 0.0, why))
                continue
            own = [row for row in rows if row.movie_id == movie.movie_id]
            found.append(compare(path, data, movie, own))
            print(json.dumps(asdict(found[-1])), flush=True)
    given.out.write_text(page(found, given.segment_seconds))
    print(given.out.read_text())


if __name__ == "__main__":
    main()
