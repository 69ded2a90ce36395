"""Movies of a circle: stored frames show whether their proportions were kept."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.films.media import ffmpeg

#: Boxes around a sample description, with the bytes before their first child.
_AROUND = ((b"moov", 8), (b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16))


def make_circle(
    path: Path,
    *options: str,
    size: tuple[int, int] = (192, 112),
    sar: Fraction = Fraction(1),
    seconds: float = 8,
) -> Path:
    """A circle in the center of frames (width, height) whose pixels have the aspect `sar`."""
    width, height = size
    inside = f"lt(hypot((X-{width / 2})*{float(sar)},Y-{height / 2}),30)"
    draw = f"geq=lum='if({inside},230,40)':cb=128:cr=128"
    video = f"color=size={width}x{height}:rate=25:duration={seconds},format=yuv420p,{draw}"
    video += f",setsar={sar.numerator}/{sar.denominator}"
    audio = f"sine=duration={seconds}:sample_rate=44100"
    inputs = ("-f", "lavfi", "-i", video, "-f", "lavfi", "-i", audio)
    ffmpeg(*inputs, *options, "-threads", "1", path)
    return path


def roundness(frame: NDArray[np.uint8]) -> float:
    """How many times as wide as high the circle in a frame (H, W, 3) is."""
    lit = frame.mean(axis=2) > 140
    return float(lit.any(axis=0).sum() / lit.any(axis=1).sum())


def crop_in_container(whole: Path, path: Path, width: int, height: int) -> Path:
    """Give an MP4 with its index at the end a clean aperture around its center."""
    data = bytearray(whole.read_bytes())
    at, sizes = data.index(b"moov") - 4, []
    assert at > data.index(b"mdat"), "chunk offsets would have to change"
    for kind, before_child in _AROUND:
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4], "big")
        sizes.append(at)
        at += before_child
    sizes.append(at)
    end = at + int.from_bytes(data[at : at + 4], "big")
    aperture = struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)
    for box in sizes:
        grown = int.from_bytes(data[box : box + 4], "big") + len(aperture)
        data[box : box + 4] = grown.to_bytes(4, "big")
    data[end:end] = aperture
    path.write_bytes(bytes(data))
    return path
