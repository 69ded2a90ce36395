"""The frames on one clip grid that a run of the decoder provides, and which of them can be trusted.

What a frame shows after damage depends on everything that was decoded before, so `restarts` decides
which run provides which steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.movie_plan import MoviePlan
from pipeline.video.reports.run_report import RunReport
from shards_spec.recipe import NANOSECONDS


class GridRun:
    """One grid of a run. Take all frames first; the rest is known afterwards."""

    def __init__(
        self,
        plan: MoviePlan,
        report: RunReport,
        first_step: int,
        tone_map: Callable[[NDArray[Any]], NDArray[np.uint8]] | None,
    ) -> None:
        """Frames are used from the step before `first_step` on.

        `tone_map` makes 8 bits from the 16 of each value that ffmpeg writes; None if it writes 8.
        """
        self.first_step = first_step
        self._plan = plan
        self._report = report
        self._log = report.log
        self._started_late = False
        self._num_taken = 0
        self._tone_map = tone_map
        self._shape = (plan.height, plan.width, 3)
        self._dtype = np.dtype(np.uint16 if tone_map else np.uint8)
        self.frame_bytes = math.prod(self._shape) * self._dtype.itemsize
        """Size of a frame as ffmpeg writes it."""
        # Fractions are slow: these are the same for all frames.
        tick = plan.probe.video.time_base
        self._tick_ns = tick * NANOSECONDS
        self._ticks_per_step = 1 / (tick * plan.recipe.fps_fraction)
        self._steps = report.steps(plan.recipe.fps_fraction)

    def take(
        self, data: bytes | bytearray, wait: Callable[[Callable[[], bool]], None]
    ) -> tuple[int, NDArray[np.uint8]] | None:
        """(grid step, (H, W, 3) RGB frame) of the next frame; None if it is not used.

        Args:
            data: the frame as ffmpeg wrote it.
            wait: waits until its argument is true, which the report of the frame will make it.
        """
        steps, number = self._steps, self._num_taken
        wait(lambda: len(steps) > number)
        self._num_taken += 1
        step = steps[number]
        if number == 0 and self._report.seek_ns is not None and step >= self.first_step:
            self._started_late = True
        if self._started_late or step < self.first_step - 1:
            return None
        frame = np.frombuffer(data, dtype=self._dtype).reshape(self._shape)
        return step, self._tone_map(frame) if self._tone_map else frame

    def entry_is_clean(self, end_step: int) -> bool:
        """Whether decoding began early enough, at a frame that needs none before it.

        Later frames must not need any either: what a decoder shows in place of a missing reference
        depends on everything it decoded before, so only the start of the movie is an entry then.
        And the packets must be those of a sequential read; see `reads_as_listed`.
        """
        seek_ns = self._report.seek_ns
        if seek_ns is None:
            return True
        first = self._log.first_intra_pts
        if self._started_late or first is None:
            return False
        is_early = (first - 1) * self._tick_ns <= seek_ns
        is_clean = is_early and not self._log.lacks_references(self._num_frames(end_step))
        return is_clean and self.reads_as_listed(end_step)

    def reads_as_listed(self, end_step: int) -> bool:
        """Whether the packets before `end_step` are those that a run from the start reads."""
        if self._report.seek_ns is None:
            return True
        margin = Fraction(self._plan.preroll_ns, NANOSECONDS) / self._plan.probe.video.time_base
        last = int(self._ticks(end_step - 1) + margin) + self._plan.probe.start_pts
        return self._report.proof.holds_until(last)

    @property
    def started_late(self) -> bool:
        """Whether decoding began after the requested position."""
        return self._started_late

    @property
    def entry_is_corrupt(self) -> bool:
        """Whether the entry is a corrupt frame; an intact one would be an entry."""
        return self._log.entry_is_corrupt

    def has_no_errors(self, end_step: int) -> bool:
        """Whether ffmpeg reported nothing suspicious before `end_step`."""
        return self._log.has_no_errors(self._num_frames(end_step))

    def on_screen_ns(self, step: int) -> int:
        """Presentation time of the frame on screen at a grid step."""
        pts = self._log.shown_at(self._ticks(step))
        return round(pts * self._tick_ns)

    def damaged_steps(self, first_step: int, end_step: int) -> set[int]:
        """Steps whose frames the decoder concealed or left out, or that are made from such frames.

        What such a frame shows depends on everything that was decoded before, up to the next intact
        keyframe. A deinterlacer also uses the neighboring frames.
        """
        if self.has_no_errors(end_step):
            return set()
        margin = round(
            Fraction(self._plan.preroll_ns, NANOSECONDS) / self._plan.probe.video.time_base
        )
        damage = self._log.damage(self._num_frames(end_step))
        times = {step: self._ticks(step) for step in range(first_step, end_step)}
        return {
            step
            for step, time in times.items()
            if any(start - margin <= time < end + margin for start, end in damage)
        }

    def _num_frames(self, end_step: int) -> int:
        """How many decoded frames affect the steps before `end_step`."""
        margin = Fraction(self._plan.preroll_ns, NANOSECONDS) / self._plan.probe.video.time_base
        # One more: only the next frame shows whether one is missing.
        return self._log.frames_until(int(self._ticks(end_step - 1) + margin)) + 1

    def _ticks(self, step: int) -> Fraction:
        return step * self._ticks_per_step
