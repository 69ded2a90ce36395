"""Spans that two movies have in common, checked word by word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import STEP_SECONDS, WINDOW_SECONDS, Track
from shards_spec.dataset.fingerprints.table import Fingerprint
from shards_spec.dataset.fingerprints.words import Words, distances

#: Bits by which words that show or play the same differ at most.
MAX_VIDEO_BITS, MAX_AUDIO_BITS = 12, 17

#: Steps without a match that a span may bridge, and the share of steps that must match.
_MAX_GAP, _MIN_DENSITY = 3, 0.7

#: Steps of the shortest spans: of video, and of audio (whose words overlap).
MIN_VIDEO_STEPS, MIN_AUDIO_STEPS = 4, 8

#: Different words that a span must have: a still image or a constant tone proves nothing.
_MIN_DIFFERENT, _DIFFERENT_BITS = 3, 8

#: A copy that runs faster or slower is a chain of spans, each at another offset: largest time
#: between two of them, steps; largest change of the offset, steps and as a share of the time.
_CHAIN_GAP, _CHAIN_SHIFT, _MAX_SPEED = 40, 3, 0.06

_WINDOW_STEPS = round(WINDOW_SECONDS / STEP_SECONDS)


@dataclass(frozen=True)
class Span:
    """A span of the first movie and the span of the second that shows or plays the same.

    Times are in steps of `STEP_SECONDS`; ends are exclusive.
    """

    start: int
    end: int
    other_start: int
    other_end: int
    video_match: float
    """Share of the steps with words in both whose video matches, [0, 1]; 0 without any."""
    audio_match: float
    num_different: int
    """Different words among those that match."""

    @property
    def length(self) -> int:
        """Steps in the first movie."""
        return self.end - self.start

    @property
    def offset(self) -> int:
        """Start in the second movie minus start in the first."""
        return self.other_start - self.start


def common_spans(first: Fingerprint, second: Fingerprint, offsets: Iterable[int]) -> list[Span]:
    """All spans of two movies at these offsets; of spans that overlap, the longest."""
    spans: list[Span] = []
    video, audio = (_Dense.of(track) for track in (second.video, second.audio))
    for offset in offsets:
        by_video = _matches(first.video, video, offset, MAX_VIDEO_BITS)
        by_audio = _matches(first.audio, audio, offset, MAX_AUDIO_BITS)
        runs = _runs(by_video, first.video.words, MIN_VIDEO_STEPS, 1)
        runs += _runs(by_audio, first.audio.words, MIN_AUDIO_STEPS, _WINDOW_STEPS)
        spans += [
            Span(
                *(start, end, start + offset, end + offset),
                *(_share(by_video, start, end), _share(by_audio, start, end)),
                num_different,
            )
            for start, end, num_different in _united(runs)
        ]
    return _chained(_without_overlap(spans))


@dataclass(frozen=True)
class _Dense:
    """Words by step."""

    words: Words
    is_known: NDArray[np.bool_]

    @staticmethod
    def of(track: Track) -> _Dense:
        length = int(track.step[-1]) + 1 if len(track.step) else 0
        words, is_known = np.zeros(length, np.uint64), np.zeros(length, dtype=bool)
        words[track.step] = track.words
        is_known[track.step] = True
        return _Dense(words, is_known)

    def at(self, steps: NDArray[np.int64]) -> tuple[Words, NDArray[np.bool_]]:
        if not len(self.words):
            return np.zeros(len(steps), np.uint64), np.zeros(len(steps), dtype=bool)
        inside = (steps >= 0) & (steps < len(self.words))
        steps = np.clip(steps, 0, len(self.words) - 1)
        return self.words[steps], self.is_known[steps] & inside


@dataclass(frozen=True)
class _Matches:
    """The steps of the first movie that have a word in both movies, and which of them match."""

    step: NDArray[np.int64]
    is_match: NDArray[np.bool_]
    row: NDArray[np.int64]
    """Of each of them in the first movie's track."""


def _matches(track: Track, other: _Dense, offset: int, max_bits: int) -> _Matches:
    steps = track.step.astype(np.int64)
    lowest = np.full(len(steps), 255, np.uint8)
    known = np.zeros(len(steps), dtype=bool)
    # A copy may be shifted by less than a step, and its words taken from the frames before or
    # after.
    for shift in (-1, 0, 1):
        words, is_known = other.at(steps + offset + shift)
        bits = np.where(is_known, distances(track.words, words), 255).astype(np.uint8)
        lowest = np.minimum(lowest, bits)
        known |= is_known if shift == 0 else False
    row = np.flatnonzero(known)
    return _Matches(steps[row], lowest[row] <= max_bits, row)


def _runs(
    matches: _Matches, words: Words, min_steps: int, extent: int
) -> list[tuple[int, int, int]]:
    """Start, end and number of different words of the runs of matches; a word covers `extent`."""
    rows = np.flatnonzero(matches.is_match)
    if not len(rows):
        return []
    step = matches.step[rows]
    runs = []
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(step) > _MAX_GAP + 1) + 1):
        if len(part) < min_steps:
            continue
        inside = rows[part[-1]] - rows[part[0]] + 1
        if len(part) < _MIN_DENSITY * inside:
            continue
        num_different = _num_different(words[matches.row[rows[part]]])
        if num_different >= _MIN_DIFFERENT:
            runs.append((int(step[part[0]]), int(step[part[-1]]) + extent, num_different))
    return runs


def _num_different(words: Words) -> int:
    """How many words of a sequence differ from the one that was counted last."""
    last, count = words[0], 1
    for word in words[1:]:
        if (int(word) ^ int(last)).bit_count() > _DIFFERENT_BITS:
            last, count = word, count + 1
    return count


def _united(runs: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Runs of video and of audio that overlap as one."""
    united: list[tuple[int, int, int]] = []
    for start, end, different in sorted(runs):
        if united and start <= united[-1][1]:
            last = united[-1]
            united[-1] = (last[0], max(last[1], end), max(last[2], different))
        else:
            united.append((start, end, different))
    return united


def _share(matches: _Matches, start: int, end: int) -> float:
    low, high = np.searchsorted(matches.step, [start, end])
    return float(matches.is_match[low:high].mean()) if high > low else 0.0


def _without_overlap(spans: list[Span]) -> list[Span]:
    """The best spans, such that none shares half of itself with a better one."""
    ordered = sorted(
        spans, key=lambda span: (-span.length * (span.video_match + span.audio_match), span.start)
    )
    kept: list[Span] = []
    for span in ordered:
        if not any(_is_same_place(span, other) for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def _is_same_place(span: Span, other: Span) -> bool:
    """Whether half of a span is within the other one, in either movie."""
    first = min(span.end, other.end) - max(span.start, other.start)
    second = min(span.other_end, other.other_end) - max(span.other_start, other.other_start)
    return 2 * max(first, second) >= span.length


def _chained(spans: list[Span]) -> list[Span]:
    """Spans, joined where one continues another at nearly the same offset."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last is not None and _continues(last, span):
            weights = [last.length, span.length]
            joined[-1] = replace(
                last,
                end=max(last.end, span.end),
                other_end=max(last.other_end, span.other_end),
                video_match=float(
                    np.average([last.video_match, span.video_match], weights=weights)
                ),
                audio_match=float(
                    np.average([last.audio_match, span.audio_match], weights=weights)
                ),
                num_different=last.num_different + span.num_different,
            )
        else:
            joined.append(span)
    return joined


def _continues(last: Span, span: Span) -> bool:
    return (
        span.start - last.end <= _CHAIN_GAP
        and span.other_start - last.other_end <= _CHAIN_GAP
        and span.other_end > last.other_end
        and abs(span.offset - last.offset) <= _CHAIN_SHIFT + _MAX_SPEED * (span.start - last.start)
    )
