"""Small real movies for tests: every frame shows its number, every second flashes and beeps.

The number is drawn as 16 black or white cells along the top, so that code can read it back after
encoding, cropping and scaling. The lower half turns white for one frame at each flash, and a tone
starts at the presentation time of that frame.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg.binaries import bundled_path

BITS = 16
RATE_HZ = 48_000
TONE_HZ = 1_000.0
TONE_SECONDS = 0.05

#: Containers without random numbers, so that encoding a movie again gives the same bytes.
_REPEATABLE = (".mp4", ".mov", ".ts")


@dataclass(frozen=True, kw_only=True)
class Film:
    """Properties of a test movie."""

    seconds: float = 12.0
    fps: Fraction = Fraction(25)
    width: int = 192
    height: int = 112
    flash_seconds: float = 1.0
    """From one flash to the next; the first is at half that time."""
    gop: int = 50
    tint: tuple[int, int, int] = (90, 110, 130)
    video: tuple[str, ...] = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    audio: tuple[str, ...] = ("-c:a", "aac", "-b:a", "128k")
    """Empty for a movie without audio."""
    extra: tuple[str, ...] = ()
    """Further output options."""

    @property
    def num_frames(self) -> int:
        """Frames of the source."""
        return round(self.seconds * self.fps)

    @property
    def flash_frames(self) -> list[int]:
        """Numbers of the frames that flash."""
        times = np.arange(self.flash_seconds / 2, self.seconds, self.flash_seconds)
        return [int(np.ceil(time * float(self.fps) - 1e-9)) for time in times]


def make_film(path: Path, film: Film | None = None) -> Path:
    """Write a movie and return its path."""
    film = film or Film()
    if path.suffix in _REPEATABLE:
        path.write_bytes(_encoded(film, path.suffix))
    else:
        _encode(path, film)
    return path


@lru_cache(maxsize=64)
def _encoded(film: Film, suffix: str) -> bytes:
    """The file of a movie, which is encoded once per process."""
    with tempfile.TemporaryDirectory(prefix="reelshards-film-") as folder:
        path = Path(folder, f"film{suffix}")
        _encode(path, film)
        return path.read_bytes()


def _encode(path: Path, film: Film) -> None:
    sound = path.with_name(path.name + ".wav")
    if film.audio:
        _write_sound(sound, film)
    rate = f"{film.fps.numerator}/{film.fps.denominator}"
    command = [bundled_path("ffmpeg"), "-v", "error", "-nostdin", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{film.width}x{film.height}", "-r", rate]
    command += ["-i", "pipe:0", *(("-i", str(sound)) if film.audio else ())]
    command += [*film.video, "-g", str(film.gop), *film.audio, "-threads", "1"]
    command += [*film.extra, str(path)]
    frames = b"".join(draw_frame(number, film).tobytes() for number in range(film.num_frames))
    done = subprocess.run(command, input=frames, capture_output=True, check=False, timeout=500)
    sound.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr.decode()


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg on finished movies, for cases that a single pass cannot produce."""
    command = [bundled_path("ffmpeg"), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr.decode()


def draw_frame(number: int, film: Film) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: frame `number` with its cells on top, a moving bar and maybe a flash."""
    frame = np.empty((film.height, film.width, 3), dtype=np.uint8)
    frame[:] = film.tint
    half = film.height // 2
    edges = np.linspace(0, film.width, BITS + 1).astype(int)
    for bit in range(BITS):
        value = 235 if number >> (BITS - 1 - bit) & 1 else 16
        frame[:half, edges[bit] : edges[bit + 1]] = value
    bar = number * 3 % film.width
    frame[half:, bar : bar + 12] = 200
    if number in film.flash_frames:
        frame[half:] = 255
    return frame


def pts_of(frame: av.VideoFrame | av.AudioFrame) -> Fraction:
    """Presentation time of a frame, seconds; it must have one."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base


def pixels_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def read_number(frame: NDArray[np.uint8]) -> int:
    """The number in a frame (H, W, 3) uint8 of any size."""
    height, width = frame.shape[:2]
    rows = frame[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    centers = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    reach = max(1, width // BITS // 5)
    bits = [rows[c - reach : c + reach + 1].mean() > 128 for c in centers]
    return int(sum(bool(bit) << (BITS - 1 - place) for place, bit in enumerate(bits)))


def onsets(samples: NDArray[np.floating], rate_hz: int) -> list[float]:
    """Times in seconds at which a tone starts after silence."""
    loud = np.abs(samples) > 0.05
    places = np.flatnonzero(loud)
    if len(places) == 0:
        return []
    first = np.concatenate([[True], np.diff(places) > 0.2 * rate_hz])
    return [float(place) / rate_hz for place in places[first]]


def shown_at(pts_seconds: Sequence[float], seconds: float) -> int:
    """Position of the frame on screen at a time: the last frame with pts <= seconds."""
    return int(np.searchsorted(np.asarray(pts_seconds), seconds + 1e-6, side="right")) - 1


def _write_sound(path: Path, film: Film) -> None:
    count = round(film.seconds * RATE_HZ)
    samples = np.zeros(count)
    time = np.arange(round(TONE_SECONDS * RATE_HZ)) / RATE_HZ
    tone = 0.6 * np.cos(2 * np.pi * TONE_HZ * time)
    for frame in film.flash_frames:
        start = round(frame / film.fps * RATE_HZ)
        samples[start : start + len(tone)] += tone[: max(0, count - start)]
    # Quiet noise keeps the clips from being dropped as silent.
    samples += 0.002 * np.sin(2 * np.pi * 220 * np.arange(count) / RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
