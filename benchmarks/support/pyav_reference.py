"""A movie as PyAV decodes it from its start: small frames and audio, with their times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

#: Size at which frames are compared, (width, height): less than any stored frame.
SMALL = (48, 27)
#: The number of an undeclared YCbCr matrix (ITU-T H.273); 1 is BT.709.
UNSPECIFIED = 2
#: Smallest height at which an undeclared matrix is BT.709.
HD_LINES = 720
#: Audio frames this close to the end of those before them continue them: timestamps are rounded.
ROUNDING_SECONDS = 0.002


@dataclass(frozen=True)
class Reference:
    """A movie as PyAV decodes it; times are seconds from its first frame."""

    frame_seconds: NDArray[np.float64]
    """(N,) sorted."""
    frames: NDArray[np.uint8]
    """(N, 27, 48) luma."""
    audio: NDArray[np.float32]
    """(M,) mono at the recipe's rate from t = 0."""


def small_luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB -> (27, 48) luma."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, SMALL, interpolation=cv2.INTER_AREA), np.uint8)


def rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a decoded frame; where it names no matrix, BT.709 from 720 lines on."""
    matrix_number = int(frame.colorspace)
    is_709 = frame.height >= HD_LINES if matrix_number == UNSPECIFIED else matrix_number == 1
    matrix = "ITU709" if is_709 else "ITU601"
    return np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=matrix), np.uint8)


def reference(path: Path, audio_track: int, rate_hz: int) -> Reference:
    """Decode a movie from its start; `audio_track` is the index of its audio stream."""
    times, frames = [], []
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        for frame in intact(container, video):
            if frame.pts is not None and frame.time_base is not None:
                times.append(float(frame.pts * frame.time_base))
                frames.append(small_luma(rgb(frame)))
    # The times of AVI and ASF are those of decoding: sorted, they are those of presentation.
    seconds = np.sort(np.array(times))
    start = float(seconds[0])
    with av.open(str(path)) as container:
        track = [s for s in container.streams.audio if s.index == audio_track]
        audio = mono(container, track[0], start, rate_hz) if track else np.zeros(0, np.float32)
    return Reference(seconds - start, np.array(frames), audio)


def intact(
    container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream
) -> Iterator[Any]:
    """The frames of a stream, without those of packets that cannot be decoded."""
    for packet in container.demux(stream):
        with contextlib.suppress(av.FFmpegError):
            yield from packet.decode()


def mono(
    container: av.container.InputContainer, track: av.AudioStream, start: float, rate_hz: int
) -> NDArray[np.float32]:
    """The mean of a track's channels on the movie timeline, at the recipe's rate."""
    resampler = av.AudioResampler(format="fltp")
    native, slack = track.rate, ROUNDING_SECONDS * track.rate
    runs: list[tuple[list[float], list[NDArray[np.float32]]]] = []
    count = 0
    for decoded in intact(container, track):
        for frame in resampler.resample(decoded):
            samples = frame.to_ndarray().mean(axis=0)
            if frame.pts is not None and frame.time_base is not None:
                offset = (float(frame.pts * frame.time_base) - start) * native - count
                if not runs or abs(offset - np.median(runs[-1][0])) > slack:
                    runs.append(([], []))
                    count, offset = 0, offset + count
                runs[-1][0].append(offset)
            if runs:
                runs[-1][1].append(samples)
                count += len(samples)
    placed = [(round(float(np.median(at))), np.concatenate(samples)) for at, samples in runs]
    whole = np.zeros(max((at + len(run) for at, run in placed), default=0), np.float32)
    for at, run in placed:
        kept = run[max(0, -at) :]
        whole[max(0, at) : max(0, at) + len(kept)] = kept
    return np.asarray(soxr.resample(whole, native, rate_hz, "HQ"), np.float32)
