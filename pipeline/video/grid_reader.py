"""Reads the frames on the clip grid: one ffmpeg, one sequential pass, frames chosen by time.

For each grid step the filter graph keeps the frame that is on screen at that time (the last one
with pts <= n / fps; this is what ffmpeg's `fps` filter with `round=up` does). `-debug_ts` reports
the pts of every decoded frame and the grid step of every chosen one, so the exact time of each
chosen frame is known. (`showinfo` would write its lines in pieces, so that their order relative to
the decoder's messages would be lost.)

    source frames   a     b     c     d     e     f        pts
    grid steps      |        |        |        |           n / fps
    chosen          a        b        d        e

A reader also knows where the decoder met damage; see `decoder_log`. What a frame shows then depends
on everything that was decoded before, so `restarts` decides which run provides which steps.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess, ffmpeg_path, has_input_filters, input_stream
from pipeline.plan import MoviePlan
from pipeline.sources import Readable
from pipeline.video.decoder_log import DecoderLog
from pipeline.video.entry_proof import EntryProof
from pipeline.video.filters import (
    fitted,
    input_options,
    normalized,
    pixel_format,
    progressive,
    without_outliers,
)
from pipeline.video.selective import RunSelection
from pipeline.video.tone_mapping import ToneMap, color_of
from shards_spec.recipe import NANOSECONDS

#: What `-debug_ts` reports about a chosen frame: its pts is the grid step.
_CHOSEN = re.compile(r"encoder <- .*?\b(?:frame_)?pts:(\d+) .*time_base:(\d+/\d+)")

#: A frame that stays on screen longer than this may do so because the next one's time is wrong.
STEADY_SECONDS = 1


class GridReader:
    """One decoding run over part of a movie. Read `frames` first; the rest is known afterwards."""

    def __init__(
        self,
        plan: MoviePlan,
        source: Readable,
        *,
        first_step: int,
        seek_ns: int | None,
        earlier_ns: int = 0,
        selection: RunSelection | None = None,
        what: str,
    ) -> None:
        """Frames from the step before `first_step` on, entered at the keyframe at `seek_ns`.

        ffmpeg seeks to `earlier_ns` before it. The decoder does not see what `selection` leaves
        out. `what` names movie and segment in errors.
        """
        self._selection = selection
        self._earlier_ns = earlier_ns
        self.cpu_seconds = 0.0
        self._plan = plan
        self._source = source
        self._first_step = first_step
        self._seek_ns = seek_ns
        self._what = what
        self._steps: list[int] = []
        video = plan.probe.video
        self._log = DecoderLog(
            video.codec,
            plan.probe.start_pts,
            STEADY_SECONDS / video.time_base,
            is_vfr=plan.probe.is_vfr,
            outliers=plan.probe.outliers,
            entry_pts=int(Fraction(seek_ns or 0, NANOSECONDS) / video.time_base) - 1,
            selection=selection,
        )
        entry = round(Fraction(seek_ns or 0, NANOSECONDS) / video.time_base) + plan.probe.start_pts
        self._proof = EntryProof(plan.probe.packet_order, entry)
        self._started_late = False
        color = color_of(plan.probe.video)
        self._tone_map = ToneMap(color, plan.probe.peak_nits) if color.needs_mapping else None

    def frames(self) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        """(grid step, (H, W, 3) RGB frame) in order, from the step before the first one on.

        Ends with the stream, or at once if the run started too late.

        Raises:
            MovieError: ffmpeg failed before the first frame, or was stopped.
        """
        command = _command(self._plan, self._position_ns, self._source, self._selection)
        run = FfmpegProcess(
            command,
            self._source,
            what=self._what,
            on_line=self._note_line,
        )
        try:
            with run:
                for step, frame in self._raw_frames(run):
                    if step >= self._first_step - 1:
                        yield step, self._tone_map(frame) if self._tone_map else frame
                if not self._started_late:
                    # A stream that is cut off keeps its intact clips; one without a frame fails.
                    run.finish(tolerate_errors=True)
                    is_whole_run = self._seek_ns is None and self._selection is None
                    if not self._log.frames and is_whole_run:
                        raise run.error("no frame was decoded")
        finally:
            self.cpu_seconds = run.cpu_seconds

    def entry_is_clean(self, end_step: int) -> bool:
        """Whether decoding began early enough, at a frame that needs none before it.

        Later frames must not need any either: what a decoder shows in place of a missing reference
        depends on everything it decoded before, so only the start of the movie is an entry then.
        And the packets must be those of a sequential read; see `reads_as_listed`.
        """
        if self._seek_ns is None:
            return True
        first = self._log.first_intra_pts
        if self._started_late or first is None:
            return False
        tick = self._plan.probe.video.time_base * NANOSECONDS
        is_early = (first - 1) * tick <= self._seek_ns
        is_clean = is_early and not self._log.lacks_references(self._num_frames(end_step))
        return is_clean and self.reads_as_listed(end_step)

    def reads_as_listed(self, end_step: int) -> bool:
        """Whether the packets before `end_step` are those that a run from the start reads."""
        if self._seek_ns is None:
            return True
        margin = Fraction(self._plan.preroll_ns, NANOSECONDS) / self._plan.probe.video.time_base
        last = int(self._ticks(end_step - 1) + margin) + self._plan.probe.start_pts
        return self._proof.holds_until(last)

    @property
    def started_late(self) -> bool:
        """Whether decoding began after the requested position."""
        return self._started_late

    @property
    def _position_ns(self) -> int | None:
        return None if self._seek_ns is None else self._seek_ns - self._earlier_ns

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
        return round(pts * self._plan.probe.video.time_base * NANOSECONDS)

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
        video, rate = self._plan.probe.video, self._plan.recipe.fps_fraction
        return Fraction(step) / (video.time_base * rate)

    def _raw_frames(self, run: FfmpegProcess) -> Iterator[tuple[int, NDArray[Any]]]:
        """(grid step, frame as ffmpeg writes it), from where the run entered the movie."""
        shape = (self._plan.height, self._plan.width, 3)
        dtype = np.dtype(np.uint16 if self._tone_map else np.uint8)
        size = int(np.prod(shape)) * dtype.itemsize
        count = 0
        while (data := run.read_exactly(size)) is not None:
            count += 1
            run.wait_for_line(lambda: len(self._steps) >= count)  # noqa: B023
            step = self._steps[count - 1]
            if count == 1 and self._seek_ns is not None and step >= self._first_step:
                self._started_late = True
                return
            yield step, np.frombuffer(data, dtype=dtype).reshape(shape)

    def _note_line(self, line: str) -> None:
        self._log.note(line)
        self._proof.note(line)
        if "encoder <- " in line and (match := _CHOSEN.search(line)):
            assert 1 / Fraction(match.group(2)) == self._plan.recipe.fps_fraction, line
            self._steps.append(int(match.group(1)))


def _command(
    plan: MoviePlan, seek_ns: int | None, source: Readable, selection: RunSelection | None
) -> list[str]:
    probe, recipe = plan.probe, plan.recipe
    # A stream that changes its size or format stays in the same graph: a new graph would lose the
    # frames that the old one still holds.
    options: dict[str, Any] = {"threads": 1, "copyts": None, "reinit_filter": 0}
    options |= input_options(probe)
    if plan.is_fast:
        options["skip_loop_filter"] = "all"
    if probe.outliers and not probe.needs_dts and has_input_filters():
        # After a presentation time that goes back, a decoder would use decoding times instead.
        options["bsf:v"] = "setts=pts=PTS:dts=NOPTS"
    if selection is not None:
        options["bsf:v"] = selection.bitstream_filter
    if seek_ns is not None:
        seconds = Fraction(seek_ns + probe.start_ns, NANOSECONDS)
        # Half a tick of slack: rounding must not miss the keyframe itself.
        slack = probe.video.time_base / 2
        options |= {
            "seek_timestamp": 1,
            "noaccurate_seek": None,
            "ss": f"{float(seconds + slack):.6f}",
        }
    stream = input_stream(source, **options)[str(probe.video.index)]
    stream = without_outliers(stream, probe)
    stream = stream.filter("setpts", f"PTS-({probe.start_pts})")
    stream = progressive(fitted(stream, probe), probe)
    rate = recipe.fps_fraction
    stream = stream.filter("fps", f"{rate.numerator}/{rate.denominator}", round="up")
    stream = normalized(stream, probe, plan.crop, (plan.height, plan.width))
    output = ffmpeg.output(
        stream,
        "pipe:1",
        format="rawvideo",
        pix_fmt=pixel_format(probe.video),
        fps_mode="passthrough",
    )
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel")
    output = output.global_args("repeat+level+info", "-debug_ts")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command
