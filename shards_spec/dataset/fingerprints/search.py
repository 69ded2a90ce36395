"""Finds the near-duplicates of a dataset and says of what kind they are.

    copy      most of both movies: encoded again, scaled, letterboxed, or in another container
    excerpt   much of the shorter one: a trailer, a part, a clip of a movie
    opening   near the start of both
    credits   near the end of both
    logo      the same, but short
    scene     anywhere else
    blank     a span of one movie that shows one color

Spans that show and play the same form a set, whatever the number of movies: the opening of all
episodes is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import STEP_SECONDS
from shards_spec.dataset.fingerprints.candidates import find_candidates
from shards_spec.dataset.fingerprints.spans import Span, common_spans
from shards_spec.dataset.fingerprints.table import Fingerprint

#: Share of both movies that makes them copies, and of one of them that makes it an excerpt; with
#: several spans, as in a trailer, less is enough.
COPY_SHARE, EXCERPT_SHARE, TRAILER_SHARE, _TRAILER_SPANS = 0.7, 0.5, 0.2, 3

#: Share of a movie, from either end, in which an opening begins or credits end.
_ENDS = 0.2

#: Shorter openings and credits are logos: steps, and share of the shorter movie.
_LOGO_STEPS, _LOGO_SHARE = round(12 / STEP_SECONDS), 0.01

#: Steps of a span that counts by itself; shorter ones count if the movies have one of these or
#: several of them, or if video and audio agree.
_STRONG_STEPS, _SEVERAL = round(5 / STEP_SECONDS), 3

#: Steps of the shortest blank span that is reported.
_BLANK_STEPS = 4


@dataclass(frozen=True)
class Duplicate:
    """A span of a movie, and the same in another one; the other is empty for blank spans.

    Times are in steps of `STEP_SECONDS`, ends exclusive.
    """

    kind: str
    set_number: int
    """From 1; spans with equal numbers show and play the same. 0 for blank spans."""
    movie_id: str
    other_movie_id: str
    span: Span


def find_duplicates(prints: Mapping[str, Fingerprint]) -> list[Duplicate]:
    """All near-duplicates among movies, sorted by movie, other movie and time."""
    ordered = [prints[name] for name in sorted(prints)]
    offsets: dict[tuple[int, int], set[int]] = defaultdict(set)
    for tracks in ([made.video for made in ordered], [made.audio for made in ordered]):
        for candidate in find_candidates(tracks):
            offsets[candidate.first, candidate.second].add(candidate.offset)
    pairs: list[tuple[Fingerprint, Fingerprint, str, Span]] = []
    for (first, second), own in sorted(offsets.items()):
        one, other = ordered[first], ordered[second]
        spans = _credible(common_spans(one, other, sorted(own)))
        kinds = _kinds(one, other, spans)
        pairs += [(one, other, kind, span) for kind, span in zip(kinds, spans, strict=True)]
    numbers = _set_numbers([(one.movie_id, other.movie_id, span) for one, other, _, span in pairs])
    found = [
        Duplicate(kind, number, one.movie_id, other.movie_id, span)
        for (one, other, kind, span), number in zip(pairs, numbers, strict=True)
    ]
    found += [blank for made in ordered for blank in _blank_spans(made)]
    return sorted(found, key=lambda item: (item.movie_id, item.other_movie_id, item.span.start))


def _credible(spans: list[Span]) -> list[Span]:
    """The spans of two movies that cannot be chance."""
    is_strong = [
        span.length >= _STRONG_STEPS or min(span.video_match, span.audio_match) > 0.6
        for span in spans
    ]
    if any(is_strong) or len(spans) >= _SEVERAL:
        return spans
    return []


def _kinds(one: Fingerprint, other: Fingerprint, spans: Sequence[Span]) -> list[str]:
    """The kind of each span of two movies."""
    shares = (
        _share(one, [(span.start, span.end) for span in spans]),
        _share(other, [(span.other_start, span.other_end) for span in spans]),
    )
    if min(shares) >= COPY_SHARE:
        return ["copy"] * len(spans)
    is_trailer = max(shares) >= TRAILER_SHARE and len(spans) >= _TRAILER_SPANS
    if max(shares) >= EXCERPT_SHARE or is_trailer:
        return ["excerpt"] * len(spans)
    lengths = _num_steps(one), _num_steps(other)
    return [_kind_by_position(span, lengths) for span in spans]


def _kind_by_position(span: Span, lengths: tuple[int, int]) -> str:
    starts, ends = (span.start, span.other_start), (span.end, span.other_end)
    both = list(zip(starts, ends, lengths, strict=True))
    is_early = all(start <= _ENDS * length for start, _, length in both)
    is_late = all(end >= (1 - _ENDS) * length for _, end, length in both)
    if not is_early and not is_late:
        return "scene"
    if span.length < max(_LOGO_STEPS, _LOGO_SHARE * min(lengths)):
        return "logo"
    return "opening" if is_early else "credits"


def _num_steps(made: Fingerprint) -> int:
    return max(1, round(made.duration_ns / 1e9 / STEP_SECONDS))


def _share(made: Fingerprint, ranges: Sequence[tuple[int, int]]) -> float:
    """Share of a movie's steps that are known and show or play something within ranges."""
    known = np.union1d(made.video.step, made.audio.step)
    inside = np.zeros(len(known), dtype=bool)
    for start, end in ranges:
        low, high = np.searchsorted(known, [start, end])
        inside[low:high] = True
    return float(inside.mean()) if len(known) else 0.0


def _set_numbers(pairs: Sequence[tuple[str, str, Span]]) -> list[int]:
    """A number from 1 for each pair: equal where a movie's spans are nearly the same."""
    root = list(range(len(pairs)))

    def find(number: int) -> int:
        while root[number] != number:
            root[number] = root[root[number]]
            number = root[number]
        return number

    sides: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, (movie_id, other_id, span) in enumerate(pairs):
        sides[movie_id].append((span.start, span.end, number))
        sides[other_id].append((span.other_start, span.other_end, number))
    for ranges in sides.values():
        ranges.sort()
        # Of spans that are nearly the same, each is nearly the same as one of the last few.
        for row, (start, end, number) in enumerate(ranges):
            for other_start, other_end, other in ranges[max(0, row - _LOOK_BACK) : row]:
                shared = min(end, other_end) - max(start, other_start)
                if 2 * shared > max(end, other_end) - min(start, other_start):
                    root[find(number)] = find(other)
    names: dict[int, int] = {}
    return [names.setdefault(find(number), len(names) + 1) for number in range(len(pairs))]


#: Spans of a movie before a span, in order of their starts, that are compared with it.
_LOOK_BACK = 64


def _blank_spans(made: Fingerprint) -> list[Duplicate]:
    steps = made.blank
    if not len(steps):
        return []
    runs: list[NDArray[np.int32]] = np.split(steps, np.flatnonzero(np.diff(steps) > 2) + 1)
    return [
        Duplicate("blank", 0, made.movie_id, "", Span(start, end, 0, 0, 0.0, 0.0, 0))
        for start, end in ((int(run[0]), int(run[-1]) + 1) for run in runs)
        if end - start >= _BLANK_STEPS
    ]
