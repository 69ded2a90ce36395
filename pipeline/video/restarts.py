"""Which run of the decoder counts for which leg of a film, so that clips depend on the file alone.

What a decoder makes of damage depends on all that it decoded before, and so on where it began.
Hence one run counts for each leg (see `plan.cut_legs`): the one that enters at the leg's own
keyframe. It goes on into the next legs as long as not a word was said against the film: then a new
start would give the same. Behind damage the next leg is entered anew.

    legs           |----|----|--!-|----|----|
    runs           [============!=>
                             [--!=>          not quiet: this leg by a run of its own
                                  [========> and a new start behind it

Where a leg cannot be entered at its keyframe (flags that lie, a broken index, pictures that refer
past it), the run from the movie's start counts. Where its keyframe is broken and the decoder does
not mend, none does: the leg is blank, and marked as damaged.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from math import ceil

from pipeline.plan import MoviePlan, Segment, Span
from pipeline.sources import Readable
from pipeline.video.encoded_frames import CodedLeg, Seen
from pipeline.video.grid_reader import GridRun
from shards_spec.recipe import NANOSECONDS

#: Transport streams are searched by the times of decoding, which may lie so much before those of
#: presentation: when an entry came out too late, this much earlier is tried.
EARLY_NS = NANOSECONDS


class LegDecoder:
    """Decodes the legs of a segment; `cpu_seconds` and `num_runs` tell what it took."""

    def __init__(self, plan: MoviePlan, segment: Segment, source: Readable) -> None:
        self.cpu_seconds = 0.0
        self.num_runs = 0
        self._plan = plan
        self._source = source
        self._what = f"{plan.movie.name}, segment {segment.number}"
        self._legs = deque(plan.spans_of(segment))
        self._found: list[CodedLeg] = []
        self._from_start: list[Span] = []
        """Legs that wait for a run from the movie's start, which is made once for all of them."""

    def decode(self) -> list[CodedLeg]:
        """All legs, in order; only the movie's last may lack frames at its end.

        Raises:
            MovieError: ffmpeg failed before the first frame, or was stopped.
        """
        while self._legs:
            self._enter()
        if self._from_start:
            with contextlib.closing(self._run(self._from_start, None)) as found:
                for coded, run in found:
                    self._keep(coded, run)
        return sorted(self._found, key=lambda coded: coded.leg.first_step)

    def _enter(self) -> None:
        """Take legs from one run, as many as it counts for; at least one."""
        first = self._legs[0]
        run = self._take(first)
        if run and run.is_late and not run.met_damage_first:
            run = self._take(first, EARLY_NS)
        if run is None:
            return
        self._legs.popleft()
        if run.met_damage_first:
            blank = CodedLeg(self._plan, first)
            blank.fill()
            self._found.append(blank)
        else:
            self._from_start.append(first)

    def _take(self, first: Span, early_ns: int = 0) -> GridRun | None:
        """Take legs from a run that enters at the first; gives it back when it did not do so."""
        found = self._run(list(self._legs), first.seek_ns, early_ns)
        with contextlib.closing(found):
            for coded, run in found:
                is_quiet = run.is_quiet(coded.leg.end_step)
                if coded.leg is first and not run.entered_well(coded.leg.end_step):
                    return run
                if coded.leg is not first and not (is_quiet and self._is_whole(coded)):
                    break
                self._keep(coded, run)
                self._legs.popleft()
                if not is_quiet:
                    break
        return None

    def _keep(self, coded: CodedLeg, run: GridRun) -> None:
        coded.settle(run)
        if not self._is_whole(coded):
            coded.fill()
        self._found.append(coded)

    def _is_whole(self, coded: CodedLeg) -> bool:
        """The last frames of a movie may be missing, as its packets tell no more than times."""
        return coded.is_complete or coded.leg.end_step == self._plan.end_step

    def _run(
        self, legs: Sequence[Span], seek_ns: int | None, early_ns: int = 0
    ) -> Generator[tuple[CodedLeg, GridRun]]:
        """Each leg with its frames, when all that bears on it was decoded or the stream is over."""
        plan = self._plan
        first, end = legs[0].first_step, legs[-1].end_step
        run = GridRun(
            plan,
            self._source,
            first_step=first,
            seek_ns=seek_ns,
            early_ns=early_ns,
            what=self._what,
        )
        seconds = plan.recipe.grid_ns(end - (0 if seek_ns is None else first)) / NANOSECONDS
        ahead = ceil(plan.preroll_ns * plan.recipe.fps_fraction / NANOSECONDS)
        waiting = deque(CodedLeg(plan, leg) for leg in legs)
        self.num_runs += 1
        seen = Seen(plan)
        try:
            with contextlib.closing(run.frames(600 + 60 * seconds)) as frames:
                for step, frame in frames:
                    luma = seen.look(frame)
                    for coded in waiting:
                        if coded.leg.first_step <= step < coded.leg.end_step:
                            coded.add(frame, luma, seen)
                            break
                    seen.before = luma
                    while waiting and step >= waiting[0].leg.end_step - 1 + ahead:
                        yield waiting.popleft(), run
                    if not waiting:
                        return
            for coded in waiting:
                yield coded, run
        finally:
            self.cpu_seconds += run.cpu_seconds
