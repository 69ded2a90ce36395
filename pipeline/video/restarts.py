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
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from math import ceil

from pipeline.plan import MoviePlan, Segment, Span
from pipeline.sources import Readable
from pipeline.video.encoded_frames import EncodedSpan, FrameComparer
from pipeline.video.grid_reader import GridReader
from shards_spec.recipe import NANOSECONDS

#: Transport streams are searched by decoding time, which may precede the presentation time by this
#: much: if a run started too late, the next one seeks this much earlier.
EARLIER_SEEK_NS = NANOSECONDS


class SegmentDecoder:
    """Decodes the spans of a segment; `cpu_seconds` and `num_runs` say at what cost."""

    def __init__(self, plan: MoviePlan, segment: Segment, source: Readable) -> None:
        self.cpu_seconds = 0.0
        self.num_runs = 0
        self._plan = plan
        self._source = source
        self._what = f"{plan.movie.name}, segment {segment.number}"
        self._remaining = deque(plan.spans_of(segment))
        self._encoded: list[EncodedSpan] = []
        self._from_start: list[Span] = []
        """Spans that need a run from the start of the movie; one run serves all of them."""

    def decode(self) -> list[EncodedSpan]:
        """All spans, in order; only the last span of the movie may lack frames at its end.

        Raises:
            MovieError: ffmpeg failed before the first frame, or was stopped.
        """
        while self._remaining:
            self._decode_next()
        if self._from_start:
            with contextlib.closing(self._run(self._from_start, None)) as spans:
                for encoded, reader in spans:
                    self._keep(encoded, reader)
        return sorted(self._encoded, key=lambda encoded: encoded.span.first_step)

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
        spans = self._run(list(self._remaining), first.seek_ns, earlier_ns)
        with contextlib.closing(spans):
            for encoded, reader in spans:
                end_step = encoded.span.end_step
                has_no_errors = reader.has_no_errors(end_step) and reader.reads_as_listed(end_step)
                if encoded.span is first and not reader.entry_is_clean(end_step):
                    return reader
                if encoded.span is not first and not (has_no_errors and self._is_whole(encoded)):
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
        self, spans: Sequence[Span], seek_ns: int | None, earlier_ns: int = 0
    ) -> Generator[tuple[EncodedSpan, GridReader]]:
        """Each span with its frames, once everything that affects it was decoded."""
        plan = self._plan
        reader = GridReader(
            plan,
            self._source,
            first_step=spans[0].first_step,
            seek_ns=seek_ns,
            earlier_ns=earlier_ns,
            what=self._what,
        )
        lookahead_steps = ceil(plan.preroll_ns * plan.recipe.fps_fraction / NANOSECONDS)
        pending = deque(EncodedSpan(plan, span) for span in spans)
        self.num_runs += 1
        comparer = FrameComparer(plan)
        try:
            with contextlib.closing(reader.frames()) as frames:
                for step, frame in frames:
                    luma = comparer.compare(frame)
                    for encoded in pending:
                        if encoded.span.first_step <= step < encoded.span.end_step:
                            encoded.add(frame, luma, comparer)
                            break
                    comparer.previous = luma
                    while pending and step >= pending[0].span.end_step - 1 + lookahead_steps:
                        yield pending.popleft(), reader
                    if not pending:
                        return
            for encoded in pending:
                yield encoded, reader
        finally:
            self.cpu_seconds += reader.cpu_seconds
