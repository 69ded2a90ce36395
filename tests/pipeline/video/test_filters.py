"""RGB that is made in planes and interleaved has the bytes of RGB made at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg.binaries import ffmpeg_path

_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"


@pytest.mark.parametrize(
    ("pixel_format", "size", "stored"),
    [
        ("yuv420p", (640, 360), "228:128"),
        ("yuvj420p", (322, 262), "130:128"),
        ("yuv422p", (400, 300), "170:128"),
        ("yuv444p10le", (640, 272), "302:128"),
    ],
)
@pytest.mark.parametrize("color", ["bt709:range=limited", "bt470bg:range=full"])
def test_planes_give_the_same_bytes(
    tmp_path: Path, pixel_format: str, size: tuple[int, int], stored: str, color: str
) -> None:
    # Extreme values of all planes clip, and a rounding that differs anywhere shows.
    noise = np.random.default_rng(1).integers(0, 256, 12 * size[0] * size[1], np.uint8)
    raw = tmp_path / "noise.raw"
    if pixel_format.endswith("10le"):
        (noise.view(np.uint16) & 1023).tofile(raw)
    else:
        noise.tofile(raw)

    def scaled(between: str) -> bytes:
        source = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{size[0]}x{size[1]}"]
        graph = f"setparams=colorspace={color},scale={stored}:{_SCALE}{between},format=rgb24"
        command = [ffmpeg_path(), "-v", "error", "-nostdin", *source, "-i", str(raw)]
        command += ["-vf", graph, "-frames:v", "1", "-f", "rawvideo", "pipe:1"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    assert len(scaled("")) > 0
    assert scaled("") == scaled(",format=gbrp")
