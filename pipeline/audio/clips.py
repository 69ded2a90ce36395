"""Cuts all clips of a movie from its soundtrack: log-mel, levels, what was missing.

`Soundtrack` gives the sound on the movie timeline (t = 0 is the first frame of the picture); clips
are cut from it by sample index, so every clip's sound starts within half a sample of its picture.
Memory holds a few clips, however long the movie is, and the finished features of one part.
"""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from pipeline.audio.soundtrack import SoundReport, Soundtrack
from pipeline.plan import MoviePlan
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import encode_logmel

#: Level given to digital silence, dB relative to full scale.
SILENCE_DBFS = -120.0
#: Clips whose members travel together: a few MiB.
CLIPS_PER_PART = 64
#: Floor of the mel power before the logarithm.
LOG_FLOOR = 1e-10


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
    """A movie's decoded audio; the features travel beside it as parts of one array of bytes."""

    clips: tuple[AudioClip, ...]
    report: SoundReport
    """Up to the end of the last clip."""
    cpu_seconds: float


def decode_audio(plan: MoviePlan, path: str) -> tuple[MovieAudio, NDArray[np.uint8]]:
    """All clips' sound at once: the clips, and the parts of `audio_parts` as one array."""
    parts = []
    decoding = audio_parts(plan, path)
    while True:
        try:
            parts.append(next(decoding))
        except StopIteration as end:
            sound: MovieAudio = end.value
            return sound, np.concatenate(parts)


def num_audio_parts(plan: MoviePlan) -> int:
    """How many parts `audio_parts` gives; known before shots tell where clips start."""
    most_clips = math.ceil((plan.end_step - plan.first_step) / plan.recipe.stride_frames)
    return math.ceil(most_clips / CLIPS_PER_PART)


def audio_parts(plan: MoviePlan, path: str) -> Generator[NDArray[np.uint8], None, MovieAudio]:
    """All clips' sound, from the movie at a local path, as it is decoded.

    Yields:
        (N,) uint8: the `.logmel.npy` (and `.audio.flac`) members of the next `CLIPS_PER_PART`
        clips back to back; the last parts may be empty.

    Returns:
        The clips.

    Raises:
        MediaError: ffmpeg failed or was stopped.
    """
    recipe = plan.recipe
    clips: list[AudioClip] = []
    held: list[bytes] = []
    offset = 0
    with _open(plan, path) as track:
        for number, start, samples in _cut(plan, track.chunks(recipe.sample_rate_hz)):
            members = [encode_logmel(log_mel(samples, recipe))]
            if recipe.store_audio:
                members.append(encode_flac(samples, recipe.sample_rate_hz))
            clips.append(_clip(plan, number, start, samples, offset, members))
            held += members
            offset += sum(map(len, members))
            if len(clips) % CLIPS_PER_PART == 0 or number == plan.end_clip - 1:
                yield np.frombuffer(b"".join(held), dtype=np.uint8)
                held.clear()
    for _ in range(math.ceil(len(clips) / CLIPS_PER_PART), num_audio_parts(plan)):
        yield np.empty(0, np.uint8)
    return _told(plan, track, clips)


def _told(plan: MoviePlan, track: Soundtrack, clips: list[AudioClip]) -> MovieAudio:
    """The clips, now with what was filled: only the end of the decoding tells it all."""
    report = track.report()
    filled = [
        overlap_ns(
            report.fills_ns,
            plan.clip_start_ns(clip.clip_number),
            plan.clip_end_ns(clip.clip_number),
        )
        for clip in clips
    ]
    told = tuple(replace(clip, filled_ns=ns) for clip, ns in zip(clips, filled, strict=True))
    return MovieAudio(told, report, track.cpu_seconds)


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


def overlap_ns(fills_ns: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> int:
    """How much of [start, end) is filled; `fills_ns` are sorted and apart."""
    first = bisect.bisect_left(fills_ns, start_ns, key=lambda fill: fill[1])
    last = bisect.bisect_left(fills_ns, end_ns, key=lambda fill: fill[0])
    return sum(min(end, end_ns) - max(start, start_ns) for start, end in fills_ns[first:last])


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


def _open(plan: MoviePlan, path: str) -> Soundtrack:
    audio = plan.probe.audio
    what = f"{plan.movie.name}, audio stream {audio.index}"
    end_ns = plan.clip_end_ns(plan.end_clip - 1)
    return Soundtrack(path, audio, plan.probe.start_ns, end_ns, what=what)


def _cut(
    plan: MoviePlan, chunks: Iterator[NDArray[np.float32]]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """(clip number, first sample, samples) of every clip."""
    rate, length = plan.recipe.sample_rate_hz, plan.recipe.clip_samples
    held = np.empty(0, dtype=np.float32)
    position = 0
    for number in range(plan.first_clip, plan.end_clip):
        start = round(plan.clip_start_ns(number) * rate / NANOSECONDS)
        while position + len(held) < start + length:
            held = np.concatenate([held, next(chunks)])
            dropped = min(max(0, start - position), len(held))
            held, position = held[dropped:], position + dropped
        yield number, start, np.clip(held[start - position :][:length], -1.0, 1.0)


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
        filled_ns=0,
        logmel_offset=offset,
        logmel_bytes=len(members[0]),
        flac_bytes=sum(map(len, members[1:])),
    )
