"""A copy's video as words of its frames, without black bars, on the timeline of the copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.matching.search import Settings
from pipeline.probe import Probe
from pipeline.sources import Readable
from pipeline.video import filters, find_crop
from shards_spec.dataset.fingerprints.video import frame_words
from shards_spec.recipe import NANOSECONDS, Recipe

#: Rate of the frames that get a word, per second, and their size, pixels.
_RATE, _SIDE = 25, 32

#: The first and last frames extend this far before and after: offsets are no more precise.
_BEYOND_SECONDS = 0.1

#: Number of frames to transform at once.
_BLOCK = 1024

#: Frames differ only slowly over time, so offsets are coarser than those from audio.
_SETTINGS = Settings(
    part_seconds=1 / _RATE,
    missing_bits=16.0,
    shifts=np.arange(-0.6, 0.601, 0.04),
    change_seconds=0.1,
    snap_speed=3e-4,
    spacing_bins=4,
)


@dataclass(frozen=True, eq=False)
class Frames:
    """The words of a copy's frames."""

    values: NDArray[np.uint64]
    """(F,) word of the frame on screen every 1 / `_RATE` seconds; 0 for none."""
    settings: Settings = _SETTINGS

    @property
    def seconds(self) -> float:
        """Length of the copy's video."""
        return len(self.values) / _RATE

    def words(self, seconds: NDArray[np.float64], speed: float) -> NDArray[np.uint64]:
        """(N,) words of the frames on screen at these times of the copy; 0 for none."""
        del speed
        words = np.zeros(len(seconds), np.uint64)
        near = (seconds >= -_BEYOND_SECONDS) & (seconds < self.seconds + _BEYOND_SECONDS)
        rows = np.floor(seconds[near] * _RATE + 1e-6).astype(np.int64)
        if len(self.values):
            words[near] = self.values[np.clip(rows, 0, len(self.values) - 1)]
        return words


def read_frames(source: Readable, probe: Probe, recipe: Recipe, what: str) -> Frames:
    """Decode the video of an open copy once, small and gray.

    Raises `MovieError` if it cannot be decoded.
    """
    command = _command(source, probe, recipe, what)
    # If the clock jumps, a frame would be repeated for all of the gap.
    most = (probe.duration_ns // NANOSECONDS + 1) * _RATE
    blocks = [_words(block) for block in _blocks(command, source, what, most)]
    return Frames(np.concatenate([np.zeros(0, np.uint64), *blocks]))


def _words(frames: NDArray[np.uint8]) -> NDArray[np.uint64]:
    words, is_shown = frame_words(frames)
    return np.where(is_shown, words, np.uint64(0))


def _command(source: Readable, probe: Probe, recipe: Recipe, what: str) -> list[str]:
    crop = find_crop(probe, source, what) if recipe.crop_bars else None
    options: dict[str, Any] = {"threads": 1, "copyts": None, "reinit_filter": 0}
    options |= filters.input_options(probe)
    stream = input_stream(source, **options)[str(probe.video.index)]
    stream = filters.without_outliers(stream, probe).filter("setpts", f"PTS-({probe.start_pts})")
    stream = stream.filter("fps", str(_RATE), start_time=0, round="up")
    stream = filters.framed(filters.fitted(stream, probe), probe)
    stream = filters.upright(stream, probe.video)
    if crop is not None:
        stream = stream.filter("crop", crop.width, crop.height, crop.x, crop.y)
    stream = stream.filter("scale", _SIDE, _SIDE, flags="area").filter("format", "gray")
    output = ffmpeg.output(stream, "pipe:1", format="rawvideo", fps_mode="passthrough")
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command


def _blocks(
    command: list[str], source: Readable, what: str, most: int
) -> Iterator[NDArray[np.uint8]]:
    """(N, `_SIDE`, `_SIDE`) luma of consecutive frames, at most `most` in all."""
    size = _SIDE * _SIDE
    with FfmpegProcess(command, source, what=what) as run:
        while most > 0 and (data := run.read_some(size * min(most, _BLOCK))):
            count = len(data) // size
            yield np.frombuffer(data, np.uint8, count * size).reshape(count, _SIDE, _SIDE)
            most -= count
        if most > 0:
            run.finish(tolerate_errors=True)
