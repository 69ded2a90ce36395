"""Spans that a run of the decoder fills with frames, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Span
from pipeline.video.encoded_frames import EncodedSpan, FrameComparer
from pipeline.video.reports import GridRun
from shards_spec.recipe import NANOSECONDS


class PendingSpans:
    """Consecutive spans that one run provides."""

    def __init__(self, plan: MoviePlan, spans: Sequence[Span]) -> None:
        self.spans = deque(EncodedSpan(plan, span) for span in spans)
        """Those that are not finished; at the end of the movie they may lack frames."""
        self._lookahead_steps = ceil(plan.preroll_ns * plan.recipe.fps_fraction / NANOSECONDS)
        self._comparer = FrameComparer(plan)

    def add(self, step: int, frame: NDArray[np.uint8], run: GridRun) -> Iterator[EncodedSpan]:
        """Add the frame (H, W, 3) RGB of the next grid step.

        Yields each span once everything that affects it was decoded. `run` is where it comes from.
        """
        luma = self._comparer.compare(frame)
        for encoded in self.spans:
            if encoded.span.first_step <= step < encoded.span.end_step:
                encoded.add(frame, luma, self._comparer)
                break
        self._comparer.previous = luma
        if self.spans:
            stop_early(self.spans[0], run, step - self._lookahead_steps)
        while self.spans and step >= self.spans[0].span.end_step - 1 + self._lookahead_steps:
            yield self.spans.popleft()


def stop_early(encoded: EncodedSpan, run: GridRun, step: int) -> None:
    """End a span after `step` if no clip shows more of it and nothing was reported until there."""
    stop = encoded.span.stop_step
    if stop is None or step != stop - 1 or step < encoded.span.first_step:
        return
    if run.has_no_errors(stop) and run.entry_is_clean(stop):
        encoded.end_at(stop)
