"""Decodes a movie's audio once, onto one gap-filled timeline, and cuts all clips from it.

ffmpeg places the chosen track on the movie timeline (t = 0 is the first frame of the picture),
fills holes with silence, mixes to mono and resamples; clips are then cut by sample index, so every
clip's sound starts within half a sample of its picture. Memory holds a few clips, however long the
movie is, plus their finished features.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ffmpeg
import librosa
import numpy as np
from numpy.typing import NDArray

from pipeline.picture import input_stream
from pipeline.plan import MoviePlan
from pipeline.process import Run
from pipeline.tools import ffmpeg_path
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import encode_logmel

#: Level given to digital silence, dB relative to full scale.
SILENCE_DBFS = -120.0
#: Floor of the mel power before the logarithm.
LOG_FLOOR = 1e-10

_READ_SAMPLES = 1 << 16


@dataclass(frozen=True)
class AudioClip:
    """The sound half of a clip; its encoded members lie back to back in the movie's bytes."""

    clip_number: int
    num_samples: int
    skew_ns: int
    """Time of the first sample less the clip's start."""
    rms_dbfs: float
    peak_dbfs: float
    filled_ns: int
    logmel_offset: int
    logmel_bytes: int
    flac_bytes: int
    """Right behind the log-mel; 0 when the recipe stores no audio."""


@dataclass(frozen=True)
class MovieAudio:
    """A movie's decoded audio; the features travel beside it as one array of bytes."""

    clips: tuple[AudioClip, ...]
    cpu_seconds: float


def decode_audio(plan: MoviePlan, path: str) -> tuple[MovieAudio, NDArray[np.uint8]]:
    """All clips' sound, from the movie at a local path.

    Returns:
        The clips and (N,) uint8: their `.logmel.npy` (and `.audio.flac`) members back to back.

    Raises:
        MediaError: ffmpeg failed or was stopped.
    """
    recipe = plan.recipe
    clips: list[AudioClip] = []
    pieces: list[bytes] = []
    offset = 0
    what = f"{plan.movie.name}, audio stream {plan.probe.audio.index}"
    wall_seconds = 600 + plan.probe.duration_ns / NANOSECONDS
    with Run(_command(plan, path), what=what, wall_seconds=wall_seconds) as run:
        for number, start, samples in _cut(plan, run):
            members = [encode_logmel(log_mel(samples, recipe))]
            if recipe.store_audio:
                members.append(encode_flac(samples, recipe.sample_rate_hz))
            clips.append(_clip(plan, number, start, samples, offset, members))
            pieces += members
            offset += sum(map(len, members))
    data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    return MovieAudio(tuple(clips), run.cpu_seconds), data


def log_mel(samples: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float16]:
    """Mono samples in [-1, 1] -> (n_mels, num_mel_frames) float16, natural log of mel power.

    Column j is of the window that is centred in samples [j * hop, j * hop + n_fft); the clip is
    padded with zeros at its end. Nothing outside the clip enters.
    """
    padding = recipe.n_fft - recipe.hop_samples
    spectrum = librosa.stft(
        np.pad(samples, (0, padding)),
        n_fft=recipe.n_fft,
        hop_length=recipe.hop_samples,
        win_length=recipe.window_samples,
        window="hann",
        center=False,
    )
    power = np.square(np.abs(spectrum))[:, : recipe.num_mel_frames]
    mel = _mel_filters(recipe) @ power
    logarithm: NDArray[np.float16] = np.log(np.maximum(mel, LOG_FLOOR)).astype(np.float16)
    return logarithm


def level_dbfs(value: float) -> float:
    """A linear level in [0, 1] as dB relative to full scale, not below `SILENCE_DBFS`."""
    return max(SILENCE_DBFS, 20.0 * float(np.log10(max(value, 1e-12))))


def encode_flac(samples: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """Mono samples in [-1, 1] -> 16-bit FLAC."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def overlap_ns(gaps_ns: tuple[tuple[int, int], ...], start_ns: int, end_ns: int) -> int:
    """How much of [start, end) the gaps cover."""
    return sum(max(0, min(end, end_ns) - max(start, start_ns)) for start, end in gaps_ns)


@lru_cache(maxsize=4)
def _mel_filters(recipe: Recipe) -> NDArray[np.float32]:
    filters: NDArray[np.float32] = librosa.filters.mel(
        sr=recipe.sample_rate_hz,
        n_fft=recipe.n_fft,
        n_mels=recipe.n_mels,
        fmin=recipe.mel_low_hz,
        fmax=recipe.mel_high_hz,
    )
    return filters


def _command(plan: MoviePlan, path: str) -> list[str]:
    probe, rate = plan.probe, plan.recipe.sample_rate_hz
    source: Any = input_stream(path, threads=1, copyts=None)[str(probe.audio.index)]
    # Shift to the movie timeline; `async` and `first_pts` then fill holes and the missing start,
    # or cut what comes before the picture.
    shift = f"PTS-round({probe.start_ns}/{NANOSECONDS}/TB)"
    timeline = source.filter("asetpts", shift).filter(
        "aresample", rate, **{"async": 1, "first_pts": 0}
    )
    mono = timeline.filter("aformat", sample_fmts="flt", channel_layouts="mono")
    output = ffmpeg.output(mono, "pipe:1", format="f32le")
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command


def _cut(plan: MoviePlan, run: Run) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """(clip number, first sample, samples) of every clip; zeros follow the end of the audio."""
    rate, length = plan.recipe.sample_rate_hz, plan.recipe.clip_samples
    buffer = np.empty(0, dtype=np.float32)
    position = 0
    ended = False
    for number in range(plan.first_clip, plan.end_clip):
        start = round(plan.clip_start_ns(number) * rate / NANOSECONDS)
        while not ended and position + len(buffer) < start + length:
            data = run.read_some(4 * _READ_SAMPLES)
            buffer = np.concatenate([buffer, np.frombuffer(data[: len(data) // 4 * 4], "<f4")])
            ended = not data
            if ended:
                run.finish(tolerate_errors=True)
                buffer = np.concatenate([buffer, np.zeros(length, np.float32)])
            dropped = min(max(0, start - position), len(buffer))
            buffer, position = buffer[dropped:], position + dropped
        if ended:
            missing = start + length - position - len(buffer)
            buffer = np.concatenate([buffer, np.zeros(max(0, missing), np.float32)])
        yield number, start, np.clip(buffer[start - position :][:length], -1.0, 1.0)


def _clip(
    plan: MoviePlan,
    number: int,
    start: int,
    samples: NDArray[np.float32],
    offset: int,
    members: list[bytes],
) -> AudioClip:
    start_ns = plan.clip_start_ns(number)
    first_sample_ns = round(start * NANOSECONDS / plan.recipe.sample_rate_hz)
    return AudioClip(
        clip_number=number,
        num_samples=len(samples),
        skew_ns=first_sample_ns - start_ns,
        rms_dbfs=level_dbfs(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))),
        peak_dbfs=level_dbfs(float(np.max(np.abs(samples), initial=0.0))),
        filled_ns=overlap_ns(plan.probe.audio_gaps_ns, start_ns, plan.clip_end_ns(number)),
        logmel_offset=offset,
        logmel_bytes=len(members[0]),
        flac_bytes=sum(map(len, members[1:])),
    )
