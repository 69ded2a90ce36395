"""A movie of six shots whose lengths are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg.binaries import ffmpeg_path
from tests.support.films.media import Film, draw_frame

FPS = 25
#: Seconds at which a new shot starts, all on a grid of 5 steps per second. The third shot lasts
#: 0.8 s, less than a clip of 1.6 s.
CUTS = (2.6, 6.0, 6.8, 11.4, 15.0)
SECONDS = 20.0
# Alternately dark and bright: the detector weighs hue, saturation and value equally.
_TINTS = ((20, 20, 20), (230, 240, 230), (20, 20, 40), (240, 230, 230), (10, 20, 10), (240,) * 3)


def make_shots(path: Path) -> Path:
    """Write the movie to `path`."""
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "192x112", "-r", str(FPS), "-i", "pipe:0", "-f", "lavfi", "-i", "sine"]
    command += ["-shortest", "-c:v", "libx264", "-g", "30", "-bf", "2", "-c:a", "aac", str(path)]
    frames = b"".join(_frame(number).tobytes() for number in range(int(SECONDS * FPS)))
    subprocess.run(command, input=frames, check=True, timeout=500)
    return path


def _frame(number: int) -> NDArray[np.uint8]:
    shot = int(np.searchsorted(CUTS, number / FPS + 1e-9, side="right"))
    return draw_frame(number, Film(tint=_TINTS[shot], flash_seconds=1000.0))
