"""Cuts the audio of all clips from a movie's soundtrack.

`Soundtrack` yields audio on the movie timeline (t = 0 is the first video frame). Clips are cut from
it by sample index, so the audio of every clip starts within half a sample of its video. However
long the movie is, memory holds a few clips and the finished features of one part.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.features import encode_flac, log_mel, peak_dbfs, rms_dbfs
from pipeline.audio.soundtrack import AudioReport, Soundtrack
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan
from pipeline.sources import Readable
from shards_spec.recipe import NANOSECONDS
from shards_spec.sample import encode_logmel

#: Clips whose encoded members are handed over together: a few MiB.
CLIPS_PER_PART = 64


@dataclass(frozen=True)
class AudioClip:
    """The audio half of a clip; its encoded members are consecutive in the movie's bytes."""

    clip_number: int
    num_samples: int
    skew_ns: int
    """Time of the first sample minus the start of the clip."""
    rms_dbfs: float
    peak_dbfs: float
    filled_ns: int
    logmel_offset: int
    logmel_bytes: int
    flac_bytes: int
    """Directly after the log-mel; 0 if the recipe stores no audio."""


@dataclass(frozen=True)
class MovieAudio:
    """A movie's decoded audio, without the encoded members, which `audio_parts` yields."""

    clips: tuple[AudioClip, ...]
    report: AudioReport
    """Up to the end of the last clip."""
    cpu_seconds: float


def num_audio_parts(plan: MoviePlan) -> int:
    """How many parts `audio_parts` yields; known before clips are placed."""
    max_clips = math.ceil((plan.end_step - plan.first_step) / plan.recipe.stride_frames)
    return math.ceil(max_clips / CLIPS_PER_PART)


def audio_parts(
    plan: PlacedPlan, source: Readable
) -> Generator[NDArray[np.uint8], None, MovieAudio]:
    """Decode the audio of all clips of an open movie.

    Yields:
        (N,) uint8: the `.logmel.npy` (and `.audio.flac`) members of the next `CLIPS_PER_PART`
        clips, concatenated; the last parts may be empty.

    Returns:
        The clips.

    Raises:
        MovieError: ffmpeg failed or was stopped.
    """
    recipe = plan.recipe
    clips: list[AudioClip] = []
    encoded: list[bytes] = []
    offset = 0
    with _open(plan, source) as track:
        for number, start, samples in _cut(plan, track.chunks(recipe.sample_rate_hz)):
            members = [encode_logmel(log_mel(samples, recipe))]
            if recipe.store_audio:
                members.append(encode_flac(samples, recipe.sample_rate_hz))
            clips.append(_clip(plan, number, start, samples, offset, members))
            encoded += members
            offset += sum(map(len, members))
            if len(clips) % CLIPS_PER_PART == 0 or number == plan.numbers[-1]:
                yield np.frombuffer(b"".join(encoded), dtype=np.uint8)
                encoded.clear()
    for _ in range(math.ceil(len(clips) / CLIPS_PER_PART), num_audio_parts(plan)):
        yield np.empty(0, np.uint8)
    report = track.report()
    return MovieAudio(_with_fills(plan, clips, report.fills_ns), report, track.cpu_seconds)


def overlap_ns(fills_ns: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> int:
    """How much of [start, end) is filled; `fills_ns` are sorted and disjoint."""
    first = bisect.bisect_left(fills_ns, start_ns, key=lambda fill: fill[1])
    last = bisect.bisect_left(fills_ns, end_ns, key=lambda fill: fill[0])
    return sum(min(end, end_ns) - max(start, start_ns) for start, end in fills_ns[first:last])


def _with_fills(
    plan: PlacedPlan, clips: Sequence[AudioClip], fills_ns: Sequence[tuple[int, int]]
) -> tuple[AudioClip, ...]:
    """The clips with `filled_ns`, which is only known after the whole movie has been decoded."""
    filled = []
    for clip in clips:
        start_ns, end_ns = plan.clip_start_ns(clip.clip_number), plan.clip_end_ns(clip.clip_number)
        filled.append(replace(clip, filled_ns=overlap_ns(fills_ns, start_ns, end_ns)))
    return tuple(filled)


def _open(plan: PlacedPlan, source: Readable) -> Soundtrack:
    audio = plan.probe.audio
    what = f"{plan.movie.name}, audio stream {audio.index}"
    # As far as for all clips of the movie, so that the report is the same if some are not made.
    end_ns = plan.recipe.grid_ns(plan.clips_end_step)
    return Soundtrack(source, plan.probe, end_ns, what=what)


def _cut(
    plan: PlacedPlan, chunks: Iterator[NDArray[np.float32]]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """(clip number, index of its first sample, samples) of every clip."""
    rate, length = plan.recipe.sample_rate_hz, plan.recipe.clip_samples
    buffer = np.empty(0, dtype=np.float32)
    position = 0
    for number in plan.numbers:
        start = round(plan.clip_start_ns(number) * rate / NANOSECONDS)
        while position + len(buffer) < start + length:
            buffer = np.concatenate([buffer, next(chunks)])
            num_passed = min(max(0, start - position), len(buffer))
            buffer, position = buffer[num_passed:], position + num_passed
        yield number, start, np.clip(buffer[start - position :][:length], -1.0, 1.0)


def _clip(
    plan: PlacedPlan,
    number: int,
    start: int,
    samples: NDArray[np.float32],
    offset: int,
    members: list[bytes],
) -> AudioClip:
    first_sample_ns = round(start * NANOSECONDS / plan.recipe.sample_rate_hz)
    return AudioClip(
        clip_number=number,
        num_samples=len(samples),
        skew_ns=first_sample_ns - plan.clip_start_ns(number),
        rms_dbfs=rms_dbfs(samples),
        peak_dbfs=peak_dbfs(samples),
        filled_ns=0,
        logmel_offset=offset,
        logmel_bytes=len(members[0]),
        flac_bytes=sum(map(len, members[1:])),
    )
