"""Decides where the decoder is restarted, so that clips depend on the file alone.

What a decoder makes of damage depends on everything it decoded before, and so on where it started.
Hence exactly one run provides each span of a segment: the one that enters at the span's own
keyframe. It continues into the next spans as long as the decoder reported no error, because then a
restart would give the same frames. After damage the next span gets a run of its own. That a run
which enters in the middle equals one from the start is proved, not assumed; see `entry_proof`.

    spans          |----|----|--!-|----|----|
    runs           [============!=>
                             [--!=>          an error: this span by a run of its own
                                  [========> and a restart after it

Where a span cannot be entered at its keyframe (wrong flags, a broken index, other packets or times
after a seek, frames that refer past it), the run from the start of the movie provides it. Where its
keyframe is corrupt and the decoder does not conceal errors, no run does: the span is blank and
marked as damaged.

All of this concerns movies of which the decoder sees every frame and skips nothing. Others are
first decoded without frames that no clip needs (see `selective`), or in fast mode. If anything is
reported about any span then, the whole movie is decoded as above, so that damage is judged by every
frame of it. So are movies whose decoder may not report all damage; then each span gets a run of its
own (see `reports.held_frames`).

If only some clips are made (see `plan.route`), there may be gaps between the spans of a segment.
Each run then ends at a gap, and already at the last step that a clip shows if nothing was reported
until then: what is decoded later does not affect it. Which cuts inside of clips are kept may depend
on cuts before the decoded part; then the span before it is decoded as well.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg.binaries import filters_packets
from pipeline.plan import spans_for_cuts
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment, Span
from pipeline.sources import Readable
from pipeline.video.encoded_frames import EncodedSpan
from pipeline.video.grid_reader import GridReader, Start
from pipeline.video.pending_spans import PendingSpans
from pipeline.video.reports import holds_frames, may_hide_damage
from pipeline.video.selective import RunSelection, Selection, selection_of
from shards_spec.recipe import NANOSECONDS

#: Transport streams are searched by decoding time, which may precede the presentation time by this
#: much: if a run started too late, the next one seeks this much earlier.
EARLIER_SEEK_NS = NANOSECONDS
#: How far the decoder may be ahead of the last frame that is used when it is stopped.
AHEAD_NS = 10 * NANOSECONDS


@dataclass(frozen=True)
class GridSample:
    """N frames on the grid, as decoded."""

    frames: list[NDArray[np.uint8]]
    """N of (H, W, 3) RGB."""
    pts_ns: NDArray[np.int64]
    """(N,) presentation times of the source frames."""


class SegmentDecoder:
    """Decodes the spans of a segment; `cpu_seconds` and `num_runs` say at what cost."""

    def __init__(self, plan: MoviePlan, segment: Segment, source: Readable) -> None:
        self.cpu_seconds = 0.0
        self.num_runs = 0
        self._plan = plan
        self._source = source
        self._what = f"{plan.movie.name}, segment {segment.number}"
        self._segment = segment
        self._spans: list[Span] = []
        """All that were requested."""
        self._remaining: deque[Span] = deque()
        self._encoded: list[EncodedSpan] = []
        self._from_start: list[Span] = []
        """Spans that need a run from the start of the movie; one run serves all of them."""
        self._selection = selection_of(plan) if filters_packets() else None
        self.leaves_out = False
        """Whether the decoder did not see all frames."""
        self.is_fast = False
        """Whether it skipped the loop filter."""
        self.hardware = ""
        """ffmpeg's name of the device that decodes; empty for the CPU."""
        self.assumes_no_damage = may_hide_damage(plan) and not plan.is_damaged
        """Whether the frames could differ from run to run if the movie were damaged."""
        self.must_be_whole = False
        """Whether something was reported when the decoder did not do all of its work, so that it
        has to for the whole movie."""

    def decode(self) -> list[EncodedSpan]:
        """All spans, in order; only the last span of the movie may lack frames at its end.

        Raises:
            MovieError: ffmpeg failed before the first frame, or was stopped.
        """
        spans: Sequence[Span] = self._plan.spans_of(self._segment)
        while spans:
            self._spans += spans
            self._decode(spans)
            self._encoded.sort(key=lambda encoded: encoded.span.first_step)
            spans = spans_for_cuts(self._plan, [(e.steps, e.cuts) for e in self._encoded])
        return self._encoded

    def _decode(self, spans: Sequence[Span]) -> None:
        """Decode further spans."""
        is_quick = self._selection is not None or self._plan.is_fast or self.assumes_no_damage
        if is_quick and not self.must_be_whole:
            if self._decode_selectively(self._selection, spans):
                self.leaves_out, self.is_fast = self._selection is not None, self._plan.is_fast
                return
            self.must_be_whole, self.leaves_out, self.is_fast = True, False, False
            self.assumes_no_damage = False
            self._encoded, self._plan = [], self._plan.whole()
            spans = sorted(self._spans, key=lambda span: span.first_step)
        self._remaining += spans
        while self._remaining:
            self._decode_next()
        if self._from_start:
            with contextlib.closing(self._run(self._from_start, None)) as done:
                for encoded, reader in done:
                    self._keep(encoded, reader)
            self._from_start = []

    def sample(self, span: Span) -> GridSample | None:
        """The frames of a span, not encoded; None if one is missing, or anything is reported."""
        first, end = span.first_step, span.end_step
        run, _ = run_selection(self._plan, self._selection, [span])
        reader = self._reader(first, Start(span.seek_ns, selection=run))
        shown: list[NDArray[np.uint8]] = []
        with contextlib.closing(reader.frames()) as frames:
            for step, frame in frames:
                if step >= first:
                    shown.append(frame)
                if step >= end - 1:
                    break
        self.cpu_seconds += reader.cpu_seconds
        is_clean = reader.has_no_errors(end) and reader.entry_is_clean(end)
        if not is_clean or len(shown) != end - first:
            return None
        times = [reader.on_screen_ns(step) for step in range(first, end)]
        return GridSample(shown, np.array(times, np.int64))

    def _decode_selectively(self, selection: Selection | None, requested: Sequence[Span]) -> bool:
        """Keep all spans from runs that leave frames out, if nothing at all is reported about them.

        Returns whether that was so. Usually there is one run; an expression covers a limited time.
        """
        spans = deque(requested)
        while spans:
            run, reached = run_selection(self._plan, selection, consecutive(spans))
            done = self._run(reached, spans[0].seek_ns, selection=run)
            with contextlib.closing(done):
                for encoded, reader in done:
                    end_step = encoded.span.end_step
                    is_clean = reader.has_no_errors(end_step) and reader.entry_is_clean(end_step)
                    if not (is_clean and encoded.is_complete):
                        return False
                    self._keep(encoded, reader)
                    spans.popleft()
        return True

    def _decode_next(self) -> None:
        """Settle the first remaining span, and as many after it as the same run may provide."""
        first = self._remaining[0]
        failed = self._decode_from(first)
        if failed and failed.started_late and not failed.entry_is_corrupt:
            failed = self._decode_from(first, EARLIER_SEEK_NS)
        if failed is None:
            return
        self._remaining.popleft()
        if failed.entry_is_corrupt:
            blank = EncodedSpan(self._plan, first)
            blank.fill()
            self._encoded.append(blank)
        else:
            self._from_start.append(first)

    def _decode_from(self, first: Span, earlier_ns: int = 0) -> GridReader | None:
        """Keep spans from a run that enters at the first one.

        Returns the run if its entry failed, so that it provides nothing.
        """
        reached = [first] if holds_frames(self._plan, first) else consecutive(self._remaining)
        spans = self._run(reached, first.seek_ns, earlier_ns)
        with contextlib.closing(spans):
            for encoded, reader in spans:
                end_step = encoded.span.end_step
                has_no_errors = reader.has_no_errors(end_step) and reader.reads_as_listed(end_step)
                is_first = encoded.span.first_step == first.first_step
                if is_first and not reader.entry_is_clean(end_step):
                    return reader
                if not is_first and not (has_no_errors and self._is_whole(encoded)):
                    break
                self._keep(encoded, reader)
                self._remaining.popleft()
                if not has_no_errors:
                    break
        return None

    def _keep(self, encoded: EncodedSpan, reader: GridReader) -> None:
        encoded.finish(reader)
        if not self._is_whole(encoded):
            encoded.fill()
        self._encoded.append(encoded)

    def _is_whole(self, encoded: EncodedSpan) -> bool:
        """The last frames of a movie may be missing: its packets promise times, not frames."""
        return encoded.is_complete or encoded.span.end_step == self._plan.end_step

    def _run(
        self,
        spans: Sequence[Span],
        seek_ns: int | None,
        earlier_ns: int = 0,
        selection: RunSelection | None = None,
    ) -> Generator[tuple[EncodedSpan, GridReader]]:
        """Each span with its frames, once everything that affects it was decoded."""
        is_held = len(spans) == 1 and holds_frames(self._plan, spans[0])
        start = Start(seek_ns, earlier_ns, selection, self.hardware, is_held)
        reader = self._reader(spans[0].first_step, start)
        pending = PendingSpans(self._plan, spans)
        self.num_runs += 1
        try:
            with contextlib.closing(reader.frames()) as frames:
                for step, frame in frames:
                    for encoded in pending.add(step, frame, reader):
                        yield encoded, reader
                    if not pending.spans:
                        return
            for encoded in pending.spans:
                yield encoded, reader
        finally:
            self.cpu_seconds += reader.cpu_seconds

    def _reader(self, first_step: int, start: Start) -> GridReader:
        return GridReader(self._plan, self._source, start, first_step=first_step, what=self._what)


def run_selection(
    plan: MoviePlan, selection: Selection | None, spans: Sequence[Span]
) -> tuple[RunSelection | None, list[Span]]:
    """What a run over consecutive spans leaves out, and the first ones for which it can."""
    if selection is None:
        return None, list(spans)
    tick = plan.probe.video.time_base * NANOSECONDS
    seek_ns = spans[0].seek_ns
    entry = int(selection.pts[0]) if seek_ns is None else round(seek_ns / tick)
    ends = [round((plan.recipe.grid_ns(s.end_step) + AHEAD_NS) / tick) for s in spans]
    count = max(1, sum(end <= entry + selection.reach for end in ends))
    return selection.of_run(entry, ends[count - 1]), list(spans[:count])


def consecutive(spans: Sequence[Span]) -> list[Span]:
    """The first spans, up to a gap."""
    spans = list(spans)
    count = 1
    while count < len(spans) and spans[count].first_step == spans[count - 1].end_step:
        count += 1
    return spans[:count]
