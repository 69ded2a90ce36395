"""Decodes a short file whole: frames on the recipe's grid, and mono samples at its rate.

Frame n is the one on screen n / fps after the first one, scaled as those of movies are; the first
sample belongs to the time of the first frame. Nothing is deinterlaced, and no bars are cropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio import mono_filter
from pipeline.errors import (
    DecodeError,
    NoAudioStreamError,
    NoVideoStreamError,
    SourceError,
    TooLargeError,
)
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import decodable_codecs, ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.limits import Limits
from pipeline.probe.streams.stream_list import has_picture_size, is_cover_art, list_quickly
from pipeline.probe.streams.video_stream import VideoStream, video_stream
from pipeline.probe.tracks.audio_track import AudioTrack, audio_tracks
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import local_movie
from pipeline.sources.identity import fingerprint
from pipeline.video import color_of
from pipeline.video.filters import frame_size, to_rgb, upright
from shards_spec.recipe import Recipe

#: A label of a file is about all of it; a longer one is more than a short clip.
MAX_SECONDS = 120.0

_READ_BYTES = 1 << 18


@dataclass(frozen=True, eq=False)
class DecodedFile:
    """What was asked for of a file."""

    frames: NDArray[np.uint8] | None
    """(T, H, W, 3) RGB on the grid of the recipe; None if not asked for."""
    samples: NDArray[np.float32] | None
    """(N,) mono in [-1, 1]; None if not asked for."""


def decode_file(
    path: Path, recipe: Recipe, *, video: bool, audio: bool, max_seconds: float = MAX_SECONDS
) -> DecodedFile:
    """Decode what is asked for.

    Raises `MovieError` if the file lacks it, is longer than `max_seconds`, or cannot be decoded.
    """
    movie = local_movie(str(path), path.name)
    if movie.num_bytes < 0:
        raise SourceError(f"{path} cannot be read")
    with open_source(movie, fingerprint(movie), limits=Limits(max_movie_hours=1.0)) as source:
        listed = list_quickly(movie, source)
        if listed.end_seconds > max_seconds:
            raise _too_long(movie, f"{listed.end_seconds:.0f} s", max_seconds)
        shown = [s for s in listed.of_type("video") if has_picture_size(s) and not is_cover_art(s)]
        tracks = audio_tracks(listed, decodable_codecs())
        if video and not shown:
            raise NoVideoStreamError(f"{movie.name}: no video stream")
        if audio and not tracks:
            raise NoAudioStreamError(f"{movie.name}: no audio stream")
        frames = None
        if video:
            frames = _frames(movie, source, video_stream(shown[0]), recipe, max_seconds)
        samples = None
        if audio:
            starts = {int(s["index"]): _seconds(s.get("start_time")) for s in listed.streams}
            delay = starts[tracks[0].index] - starts[int(shown[0]["index"])] if video else 0.0
            samples = _samples(movie, source, tracks[0], delay, recipe, max_seconds)
    return DecodedFile(frames, samples)


def _frames(
    movie: Movie, source: Readable, video: VideoStream, recipe: Recipe, max_seconds: float
) -> NDArray[np.uint8]:
    """(T, H, W, 3)."""
    if color_of(video).needs_mapping:
        raise DecodeError(f"{movie.name}: HDR or wide-gamut video; convert it to BT.709 first")
    size = frame_size(video, None, recipe)
    options: dict[str, Any] = {"threads": 1, "noautorotate": None, "reinit_filter": 0}
    if video.container_crop is not None:
        options["apply_cropping"] = "codec"
    rate = recipe.fps_fraction
    stream = input_stream(source, **options)[str(video.index)].filter("setpts", "PTS-STARTPTS")
    stream = stream.filter("scale", video.width, video.height)
    stream = stream.filter("fps", f"{rate.numerator}/{rate.denominator}", round="up")
    stream = to_rgb(upright(stream, video), video, size)
    output = ffmpeg.output(
        stream, "pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough"
    )
    frames: list[NDArray[np.uint8]] = []
    shape = (*size, 3)
    with FfmpegProcess(_command(output), source, what=f"{movie.name}, video") as run:
        while (data := run.read_exactly(int(np.prod(shape)))) is not None:
            frames.append(np.frombuffer(data, np.uint8).reshape(shape))
            if len(frames) > max_seconds * recipe.fps + 1:
                raise _too_long(movie, f"longer than {max_seconds:.0f} s", max_seconds)
        run.finish(tolerate_errors=True)
        if not frames:
            raise run.error("no frame was decoded")
    return np.stack(frames)


def _samples(
    movie: Movie,
    source: Readable,
    track: AudioTrack,
    delay: float,
    recipe: Recipe,
    max_seconds: float,
) -> NDArray[np.float32]:
    """(N,) at the recipe's rate; `delay` is the time of the first decoded one, seconds."""
    native_hz = track.sample_rate_hz
    stream = mono_filter(input_stream(source, threads=1)[str(track.index)], track)
    stream = stream.filter("aresample", native_hz).filter(
        "aformat", sample_fmts="flt", channel_layouts="mono"
    )
    output = ffmpeg.output(stream, "pipe:1", format="f32le")
    parts: list[bytes] = []
    most_bytes = int((max_seconds + 1) * native_hz) * 4
    with FfmpegProcess(_command(output), source, what=f"{movie.name}, audio") as run:
        while data := run.read_some(_READ_BYTES):
            parts.append(data)
            if len(parts) * _READ_BYTES > most_bytes + _READ_BYTES:
                raise _too_long(movie, f"longer than {max_seconds:.0f} s", max_seconds)
        run.finish(tolerate_errors=True)
        decoded = np.frombuffer(b"".join(parts), "<f4").astype(np.float32)
        if not len(decoded):
            raise run.error("no audio was decoded")
    num_missing = round(delay * native_hz)
    decoded = np.pad(decoded, (max(0, num_missing), 0))[max(0, -num_missing) :]
    if not len(decoded) or not np.isfinite(decoded).all():
        raise DecodeError(f"{movie.name}: its audio ends before its video, or has invalid samples")
    if native_hz != recipe.sample_rate_hz:
        decoded = soxr.resample(decoded, native_hz, recipe.sample_rate_hz)
    clipped: NDArray[np.float32] = np.clip(decoded, -1.0, 1.0)
    return clipped


def _command(output: Any) -> list[str]:
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command


def _seconds(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


def _too_long(movie: Movie, length: str, max_seconds: float) -> TooLargeError:
    return TooLargeError(
        f"{movie.name}: {length}, more than the {max_seconds:.0f} s that one label can be about; "
        "cut the labeled part out first"
    )
