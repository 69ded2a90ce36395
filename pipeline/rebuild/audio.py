"""The audio of clips from a copy, at the tempo and pitch of the original.

A copy that plays faster has one of two kinds of audio:

    higher in pitch   it was only played faster: it is resampled, which restores pitch and tempo
    same in pitch     it was stretched: it is stretched back, by overlapping pieces of it

Which of them it is, the words of the lock show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import AudioReport, Soundtrack
from pipeline.audio.clips import overlap_ns
from pipeline.audio.features import encode_flac, log_mel, peak_dbfs, rms_dbfs
from pipeline.plan.movie_plan import PlacedPlan
from pipeline.probe.tracks.audio_track import NO_AUDIO
from pipeline.rebuild.retime import Times
from pipeline.sources import Readable
from shards_spec.dataset.lockfile.words import audio_words
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import AUDIO, LOGMEL, encode_logmel

#: Length of the pieces that stretched audio is made of, seconds; how far each may be moved, so that
#: it continues the one before it.
_PIECE_SECONDS, _SEARCH_SECONDS = 0.04, 0.01


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """The audio of one clip."""

    clip_number: int
    num_samples: int
    skew_ns: int
    rms_dbfs: float
    peak_dbfs: float
    words: NDArray[np.uint64]
    """As a lock has them."""
    members: dict[str, bytes]


def clip_audio(
    plan: PlacedPlan,
    source: Readable,
    recipe: Recipe,
    times: Times,
    starts_ns: dict[int, int],
    *,
    keeps_pitch: bool,
    reports: list[AudioReport],
) -> Iterator[ClipAudio]:
    """The audio of the clips of a retimed plan, in the order of time.

    Args:
        recipe: of the lock.
        starts_ns: start of each clip in the original, by its number.
        keeps_pitch: whether a copy of another speed has the original's pitch.
        reports: gets what was done to the copy's audio, at the end.
    """
    if plan.probe.audio == NO_AUDIO:
        end_ns = plan.recipe.grid_ns(plan.clips_end_step)
        reports.append(AudioReport(fills_ns=((0, end_ns),)))
        yield from _silence(plan, recipe, starts_ns)
        return
    speed = Fraction(1) if keeps_pitch else times.speed
    rate = recipe.sample_rate_hz * speed
    length = recipe.clip_samples
    stretch = times.speed / speed
    needed = length if stretch == 1 else int(length / stretch) + _margin(recipe)
    end_ns = plan.recipe.grid_ns(plan.clips_end_step)
    what = f"{plan.movie.name}, audio stream {plan.probe.audio.index}"
    with Soundtrack(source, plan.probe, end_ns, what=what) as track:
        # Rates that are whole numbers are given as such: nothing then differs from preprocessing.
        chunks = track.chunks(int(rate) if rate.denominator == 1 else float(rate))
        buffer, position = np.empty(0, np.float32), 0
        for number in plan.numbers:
            first = round(starts_ns[number] * recipe.sample_rate_hz / NANOSECONDS)
            start = round(times.plan_seconds(Fraction(first, recipe.sample_rate_hz)) * rate)
            while position + len(buffer) < start + needed:
                chunk = next(chunks, None)
                if chunk is None:
                    break
                buffer = np.concatenate([buffer, chunk])
                num_passed = min(max(0, start - position), len(buffer))
                buffer, position = buffer[num_passed:], position + num_passed
            samples = _from(buffer, start - position, needed)
            if stretch != 1:
                samples = stretched(samples, length, float(stretch), recipe.sample_rate_hz)
            yield _clip(number, starts_ns[number], first, np.clip(samples, -1.0, 1.0), recipe)
    reports.append(track.report())


def _silence(plan: PlacedPlan, recipe: Recipe, starts_ns: dict[int, int]) -> Iterator[ClipAudio]:
    """The audio of clips from a copy that has none."""
    for number in plan.numbers:
        first = round(starts_ns[number] * recipe.sample_rate_hz / NANOSECONDS)
        samples = np.zeros(recipe.clip_samples, np.float32)
        yield _clip(number, starts_ns[number], first, samples, recipe)


def filled_ns(report: AudioReport, times: Times, start_ns: int, end_ns: int) -> int:
    """How much of a clip was filled with silence, on the timeline of the original."""
    start, end = (
        round(times.plan_seconds(Fraction(time, NANOSECONDS)) * NANOSECONDS)
        for time in (start_ns, end_ns)
    )
    return min(round(overlap_ns(report.fills_ns, start, end) * times.speed), end_ns - start_ns)


def stretched(
    samples: NDArray[np.float32], length: int, speed: float, rate_hz: int
) -> NDArray[np.float32]:
    """(length,) samples that play `speed` times as slowly, with the same pitch.

    Pieces that overlap by half are taken from where the time is right, give or take
    `_SEARCH_SECONDS`: there where the piece continues what is already there (WSOLA).

    Args:
        samples: at least `length` / `speed` of them, and a little more.
    """
    half = int(_PIECE_SECONDS * rate_hz) // 2
    reach = int(_SEARCH_SECONDS * rate_hz)
    window = np.hanning(2 * half + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, (reach, 2 * half + 2 * reach))
    output = np.zeros(length + 3 * half, np.float32)
    # The first half piece has none before it that it would be mixed with.
    output[:half] = padded[reach : reach + half] * window[half:]
    previous = reach - half
    for begin in range(0, length + half, half):
        center = min(round(begin / speed) + reach, len(padded) - 2 * half - reach)
        target = padded[previous + half : previous + 2 * half]
        nearby = padded[center - reach : center + reach + half]
        scores = np.correlate(nearby, target, mode="valid")
        # Energy of each candidate, so that loud ones do not win by loudness.
        sums = np.cumsum(np.concatenate([np.zeros(1), np.square(nearby, dtype=np.float64)]))
        energy = sums[half:] - sums[:-half]
        previous = center - reach + int((scores / np.sqrt(energy + 1e-9)).argmax())
        output[begin : begin + 2 * half] += padded[previous : previous + 2 * half] * window
    return output[:length]


def _margin(recipe: Recipe) -> int:
    return int((2 * _PIECE_SECONDS + _SEARCH_SECONDS) * recipe.sample_rate_hz)


def _from(buffer: NDArray[np.float32], first: int, count: int) -> NDArray[np.float32]:
    """`count` samples from `first` on; zeros where there are none."""
    inside = buffer[max(0, first) : max(0, first + count)]
    before = min(count, max(0, -first))
    return np.pad(inside, (before, max(0, count - before - len(inside))))[:count]


def _clip(
    number: int, start_ns: int, first: int, samples: NDArray[np.float32], recipe: Recipe
) -> ClipAudio:
    logmel = log_mel(samples, recipe)
    members = {LOGMEL: encode_logmel(logmel)}
    if recipe.store_audio:
        members[AUDIO] = encode_flac(samples, recipe.sample_rate_hz)
    return ClipAudio(
        clip_number=number,
        num_samples=len(samples),
        skew_ns=round(first * NANOSECONDS / recipe.sample_rate_hz) - start_ns,
        rms_dbfs=rms_dbfs(samples),
        peak_dbfs=peak_dbfs(samples),
        words=audio_words(logmel, recipe, of_copy=True),
        members=members,
    )
