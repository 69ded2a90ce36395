"""Decodes a part of a movie once for several views of it: recipes that differ in grid, size, crop.

    decoder --> 5 per second, 128 pixels --> spans of one view
            `-> 1 per second, 256 pixels --> spans of the other

All views share one run of the decoder as long as nothing is reported. Then every view gets what it
would get alone, because which run provides a span makes no difference (see `restarts`). Otherwise
each view is decoded alone, since damage is judged by its own spans.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ffmpeg.binaries import filters_packets
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment, Span
from pipeline.sources import Readable
from pipeline.video.encoded_frames import EncodedSpan
from pipeline.video.grid_reader import Start, ViewsReader
from pipeline.video.pending_spans import PendingSpans
from pipeline.video.reports import GridRun
from pipeline.video.restarts import AHEAD_NS
from pipeline.video.selective import RunSelection, selection_of
from shards_spec.recipe import NANOSECONDS


@dataclass(frozen=True)
class ViewPart:
    """The part of a movie that is decoded for one view."""

    plan: MoviePlan
    segment: Segment

    @property
    def spans(self) -> tuple[Span, ...]:
        """Consecutive ones: with several views, all of a movie is decoded."""
        return self.plan.spans_of(self.segment)


class ViewsDecoder:
    """Decodes the same part of a movie for several views; `cpu_seconds` says at what cost."""

    def __init__(self, parts: Sequence[ViewPart], source: Readable) -> None:
        """For `parts` of one movie, which begin at about the same time."""
        self.cpu_seconds = 0.0
        self.leaves_out = False
        """Whether the decoder did not see all frames."""
        self._parts = parts
        self._source = source
        self._spans = [part.spans for part in parts]

    def decode(self) -> list[list[EncodedSpan]] | None:
        """The spans of each view, in order; None if anything was reported about one of them.

        Raises `MovieError` if ffmpeg was stopped.
        """
        # The view that begins first decides where the run enters.
        seeks_ns = [spans[0].seek_ns for spans in self._spans]
        seek_ns = None if None in seeks_ns else min(seek for seek in seeks_ns if seek is not None)
        selection = self._run_selection(seek_ns)
        self.leaves_out = selection is not None
        movie, segment = self._parts[0].plan.movie, self._parts[0].segment
        reader = ViewsReader(
            [part.plan for part in self._parts],
            self._source,
            Start(seek_ns, selection=selection),
            first_steps=[spans[0].first_step for spans in self._spans],
            what=f"{movie.name}, segment {segment.number}",
        )
        try:
            return self._filled(reader)
        finally:
            self.cpu_seconds += reader.cpu_seconds

    def _filled(self, reader: ViewsReader) -> list[list[EncodedSpan]] | None:
        pending = [
            PendingSpans(part.plan, spans)
            for part, spans in zip(self._parts, self._spans, strict=True)
        ]
        done: list[list[EncodedSpan]] = [[] for _ in self._parts]
        with contextlib.closing(reader.frames()) as frames:
            for number, step, frame in frames:
                if not pending[number].spans:
                    continue
                for encoded in pending[number].add(step, frame, reader.views[number]):
                    if not self._keep(number, encoded, reader.views[number]):
                        return None
                    done[number].append(encoded)
                if not any(one.spans for one in pending):
                    return done
        for number, one in enumerate(pending):
            for encoded in one.spans:
                if not self._keep(number, encoded, reader.views[number]):
                    return None
                done[number].append(encoded)
        return done

    def _keep(self, number: int, encoded: EncodedSpan, run: GridRun) -> bool:
        """Finish a span if nothing was reported about it; returns whether that was so."""
        end_step = encoded.span.end_step
        # The last frames of a movie may be missing: its packets promise times, not frames.
        may_lack = not self.leaves_out and end_step == self._parts[number].plan.end_step
        if not (encoded.is_complete or may_lack):
            return False
        if not (run.has_no_errors(end_step) and run.entry_is_clean(end_step)):
            return False
        encoded.finish(run)
        return True

    def _run_selection(self, seek_ns: int | None) -> RunSelection | None:
        """What a run over all spans leaves out; nothing if one expression cannot reach the end."""
        plan = self._parts[0].plan
        # All have the same one, except for views whose movie has to be decoded whole.
        selections = [selection_of(part.plan) for part in self._parts]
        selection = selections[0]
        if selection is None or None in selections or not filters_packets():
            return None
        tick = plan.probe.video.time_base * NANOSECONDS
        entry = int(selection.pts[0]) if seek_ns is None else round(seek_ns / tick)
        last_ns = max(
            part.plan.recipe.grid_ns(spans[-1].end_step)
            for part, spans in zip(self._parts, self._spans, strict=True)
        )
        end = round((last_ns + AHEAD_NS) / tick)
        return selection.of_run(entry, end) if end <= entry + selection.reach else None
