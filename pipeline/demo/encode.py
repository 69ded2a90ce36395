"""Encodes frames and audio as H.264/AAC mp4: one ffmpeg per movie, frames through its stdin."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.demo.drawing.figures import ByteArray
from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.sound.tones import SAMPLE_RATE_HZ
from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.binaries import ffmpeg_path
from shards_spec.errors import ReelshardsError

KEYFRAME_SECONDS = 5
EXIT_TIMEOUT_SECONDS = 120.0
_BT709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
# One thread, no version strings and no dates: the same ffmpeg makes the same bytes on any machine.
_VIDEO = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-pix_fmt", "yuv420p"]
_AUDIO = ["-c:a", "aac", "-aac_coder", "fast", "-b:a", "80k"]
_BITEXACT = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
_BITEXACT += ["-flags:a", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart"]


def encode_movie(
    target: Path,
    frames: Iterable[ByteArray],
    sound: FloatArray,
    *,
    fps: Fraction,
    width: int,
    height: int,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> None:
    """Write the movie under a temporary name and rename it: `target` is complete or absent."""
    with (
        tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as scratch,
        reaper.watched_folder(scratch),
    ):
        wav, encoded = Path(scratch, "sound.wav"), Path(scratch, target.name)
        _write_wav(wav, sound, sample_rate_hz)
        with Path(scratch, "ffmpeg.log").open("w+b") as log:
            command = _command(wav, encoded, fps, width, height)
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            reaper.watch(process.pid)
            try:
                _feed(process, frames)
                status = process.wait(timeout=EXIT_TIMEOUT_SECONDS)
            finally:
                process.kill()
                process.wait()
                reaper.unwatch(process.pid)
            if status:
                log.seek(0)
                reason = log.read(2000).decode(errors="replace").strip()
                raise ReelshardsError(f"ffmpeg could not write {target} (exit {status}): {reason}")
        os.replace(encoded, target)


def _command(wav: Path, encoded: Path, fps: Fraction, width: int, height: int) -> list[str]:
    rate = f"{fps.numerator}/{fps.denominator}"
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}"]
    return [
        *(ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-y"),
        *(*source, *_BT709, "-color_range", "tv", "-framerate", rate, "-i", "pipe:0"),
        *("-i", str(wav), "-map", "0:v", "-map", "1:a"),
        *(*_VIDEO, *_BT709, "-g", str(round(KEYFRAME_SECONDS * fps))),
        *(*_AUDIO, *_BITEXACT, str(encoded)),
    ]


def _feed(process: subprocess.Popen[bytes], frames: Iterable[ByteArray]) -> None:
    assert process.stdin is not None
    try:
        for frame in frames:
            process.stdin.write(frame.data)
    except BrokenPipeError:
        pass  # ffmpeg gave up; its exit status and log say why
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _write_wav(path: Path, sound: FloatArray, sample_rate_hz: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
