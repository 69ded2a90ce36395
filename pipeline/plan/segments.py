"""Splits the clip grid into segments, and segments into spans: both begin at keyframes.

    clips     |----0----|----1----|----2----|----3----|----4----|   (non-overlapping by default)
    grid      . . . . . . . . . . . . . . . . . . . . . . . . . .   every 1 / fps
    keyframes K      K          K         K        K          K
    spans     [ 0         )[ 1       )[ 2       )[ 3            )
    segments  [ 0                    )[ 1                       )

A segment is decoded by one task, a span by one run of the decoder. Neither split affects the clips:
every frame is chosen by its presentation time.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from math import ceil

from shards_spec.recipe import NANOSECONDS, Recipe

#: Shortest span: the decoder may be restarted at keyframes about this far apart.
MIN_SPAN_SECONDS = 1.0


@dataclass(frozen=True)
class Span:
    """Grid steps [first_step, end_step) that one decoder run can produce."""

    first_step: int
    end_step: int
    seek_ns: int | None
    """Keyframe to start decoding at, on the movie timeline; None for the start of the file."""
    stop_step: int | None = None
    """No clip uses the steps from here on: decoding may stop if nothing is reported until then.
    None if it may not."""


@dataclass(frozen=True)
class Segment:
    """Grid steps [first_step, end_step) that one task decodes: whole consecutive spans.

    Of a movie that is decoded around its chosen clips, only the spans with any (see `route`).
    """

    number: int
    first_step: int
    end_step: int
    seek_ns: int | None
    """As of its first span."""


def split_spans(
    recipe: Recipe,
    first_step: int,
    end_step: int,
    keyframes_ns: tuple[int, ...],
    preroll_ns: int = 0,
) -> Iterator[Span]:
    """Split the steps [first_step, end_step) into spans of at least `MIN_SPAN_SECONDS`.

    Decoding of each span starts at a keyframe at least `preroll_ns` early; steps without a keyframe
    between them stay together. From a span's first step on, the spans do not depend on where the
    split began.
    """
    min_steps = ceil(Fraction(MIN_SPAN_SECONDS) * recipe.fps_fraction)
    begin, seek = first_step, _seek_point(recipe, first_step, keyframes_ns, preroll_ns)
    while True:
        later = 1 if seek is None else bisect.bisect_right(keyframes_ns, seek)
        if later >= len(keyframes_ns):
            break
        after = Fraction(keyframes_ns[later] + preroll_ns, NANOSECONDS) * recipe.fps_fraction
        step = max(begin + min_steps, int(after))
        while recipe.grid_ns(step - 1) - preroll_ns < keyframes_ns[later]:
            step += 1
        if step >= end_step:
            break
        yield Span(begin, step, seek)
        begin = step
        seek = _seek_point(recipe, step, keyframes_ns, preroll_ns)
    yield Span(begin, end_step, seek)


def split_segments(
    recipe: Recipe, spans: Sequence[Span], seconds: float, needed: Sequence[Span] | None = None
) -> tuple[Segment, ...]:
    """Join consecutive spans to segments of about `seconds`.

    If only the `needed` spans are decoded, only these count, and consecutive ones stay together.
    """
    min_steps = Fraction(seconds) * recipe.fps_fraction
    decoded = {span.first_step for span in (spans if needed is None else needed)}
    last_decoded = max(decoded)
    segments: list[Segment] = []
    first: Span | None = None
    num_steps = 0
    for span, following in zip_longest(spans, spans[1:]):
        first = first or span
        num_steps += (span.end_step - span.first_step) * (span.first_step in decoded)
        continues = needed is not None and following and following.first_step in decoded
        is_enough = num_steps >= min_steps and not continues and span.first_step < last_decoded
        if is_enough or following is None:
            number = len(segments)
            segments.append(Segment(number, first.first_step, span.end_step, first.seek_ns))
            first, num_steps = None, 0
    return tuple(segments)


def _seek_point(
    recipe: Recipe, first_step: int, keyframes_ns: tuple[int, ...], preroll_ns: int
) -> int | None:
    """The last keyframe that is on screen at least one grid step before `first_step`.

    That earlier step is decoded too, because the cut detector compares each frame with the one
    before it. None means the start of the file.
    """
    step = first_step - 1
    if step < 0:
        return None
    count = bisect.bisect_right(keyframes_ns, recipe.grid_ns(step) - preroll_ns)
    return keyframes_ns[count - 1] if count > 1 else None
