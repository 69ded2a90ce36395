"""Reads the frames on the clip grid: one ffmpeg, one sequential pass, frames chosen by time.

For each grid step the filter graph keeps the frame that is on screen at that time (the last one
with pts <= n / fps; this is what ffmpeg's `fps` filter with `round=up` does).

    source frames   a     b     c     d     e     f        pts
    grid steps      |        |        |        |           n / fps
    chosen          a        b        d        e

Several views of a movie may be read in the same pass: each has a grid and a size of its own, and
its own output. A reader also knows where the decoder met damage; see `reports`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess, OutputPipes
from pipeline.ffmpeg.binaries import ffmpeg_path, has_input_filters
from pipeline.ffmpeg.inputs import WITHOUT_TEXTS, input_stream
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources import Readable
from pipeline.video.filters import (
    fitted,
    input_options,
    normalized,
    pixel_format,
    progressive,
    without_outliers,
)
from pipeline.video.reports import GridRun, RunReport
from pipeline.video.selective import RunSelection
from pipeline.video.tone_mapping import ToneMap, color_of
from shards_spec.recipe import NANOSECONDS


@dataclass(frozen=True)
class Start:
    """Where a run of the decoder enters, and what it leaves out."""

    seek_ns: int | None
    """At this keyframe; None for the start of the movie."""
    earlier_ns: int = 0
    """How much before it ffmpeg seeks."""
    selection: RunSelection | None = None
    """What the decoder does not see."""
    hardware: str = ""
    """ffmpeg's name of the device that decodes; empty for the CPU."""
    holds_frames: bool = False
    """Whether all frames are kept until the run ends; see `reports.held_frames`."""

    @property
    def position_ns(self) -> int | None:
        """Where ffmpeg seeks to."""
        return None if self.seek_ns is None else self.seek_ns - self.earlier_ns


class GridReader(GridRun):
    """One decoding run over part of a movie. Read `frames` first; the rest is known afterwards."""

    def __init__(
        self, plan: MoviePlan, source: Readable, start: Start, *, first_step: int, what: str
    ) -> None:
        """Frames from the step before `first_step` on; `what` names movie and segment in errors."""
        report = RunReport(plan.probe, [plan.recipe.fps_fraction], start.seek_ns, start.selection)
        super().__init__(plan, report, first_step, _tone_map(plan))
        self.cpu_seconds = 0.0
        self._start = start
        self._source = source
        self._what = what
        self._hardware_failed = False
        """Whether any error was reported, also before the first frame: ffmpeg then continues on the
        CPU, or without some frames."""

    def frames(self) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        """(grid step, (H, W, 3) RGB frame) in order, from the step before the first one on.

        Ends with the stream, or at once if the run started too late.

        Raises:
            MovieError: ffmpeg failed before the first frame, or was stopped.
        """
        plan, start = self._plan, self._start
        (stream,) = _streams([plan], start, self._source)
        run = FfmpegProcess(
            self._with_frames_held(_command([_output(stream, plan, "pipe:1")])),
            self._source,
            what=self._what,
            on_line=self._note,
        )
        try:
            with run:
                while (data := run.read_exactly(self.frame_bytes)) is not None:
                    frame = self.take(data, run.wait_for_line)
                    if self.started_late:
                        return
                    if frame is not None:
                        yield frame
                # A stream that is cut off keeps its intact clips; one without a frame fails.
                run.finish(tolerate_errors=True)
                is_whole_run = start.seek_ns is None and start.selection is None
                if not self._log.frames and is_whole_run:
                    raise run.error("no frame was decoded")
        finally:
            self.cpu_seconds = run.cpu_seconds

    def has_no_errors(self, end_step: int) -> bool:
        """Whether ffmpeg reported nothing suspicious before `end_step`; about a card, at all."""
        return not self._hardware_failed and super().has_no_errors(end_step)

    def _with_frames_held(self, command: list[str]) -> list[str]:
        """The command, with a filter that keeps all frames if they are to be kept."""
        if self._start.holds_frames:
            graph = command.index("-filter_complex") + 1
            command[graph] += f";[0:{self._plan.probe.video.index}]reverse,nullsink"
        return command

    def _note(self, line: str) -> None:
        self._hardware_failed |= bool(self._start.hardware) and "[error]" in line
        self._report.note(line)


class ViewsReader:
    """One decoding run over part of a movie for several views of it.

    `views` answers for each of them, as a `GridReader` does, once `frames` have been read.
    """

    def __init__(
        self,
        plans: Sequence[MoviePlan],
        source: Readable,
        start: Start,
        *,
        first_steps: Sequence[int],
        what: str,
    ) -> None:
        """Frames of each plan from the step before its first one on."""
        rates = {plan.recipe.fps_fraction for plan in plans}
        self._report = RunReport(plans[0].probe, rates, start.seek_ns, start.selection)
        self.views = [
            GridRun(plan, self._report, first_step, _tone_map(plan))
            for plan, first_step in zip(plans, first_steps, strict=True)
        ]
        self.cpu_seconds = 0.0
        self._plans = plans
        self._start = start
        self._source = source
        self._what = what

    def frames(self) -> Generator[tuple[int, int, NDArray[np.uint8]], None, None]:
        """(number of the view, grid step, (H, W, 3) RGB frame), those of a view in order.

        Ends with the stream, or at once if the run started too late for one of the views.

        Raises:
            MovieError: ffmpeg was stopped.
        """
        streams = _streams(self._plans, self._start, self._source)
        with OutputPipes([view.frame_bytes for view in self.views]) as pipes:
            outputs = map(_output, streams, self._plans, pipes.urls)
            run = FfmpegProcess(
                _command(list(outputs)),
                self._source,
                what=self._what,
                on_line=self._report.note,
                pass_fds=pipes.write_ends,
            )
            try:
                with run:
                    for number, data in pipes.read(run):
                        frame = self.views[number].take(data, run.wait_for_line)
                        if self.views[number].started_late:
                            return
                        if frame is not None:
                            yield number, *frame
                    run.finish(tolerate_errors=True)
            finally:
                self.cpu_seconds = run.cpu_seconds


def _tone_map(plan: MoviePlan) -> ToneMap | None:
    color = color_of(plan.probe.video)
    return ToneMap(color, plan.probe.peak_nits) if color.needs_mapping else None


def _streams(plans: Sequence[MoviePlan], start: Start, source: Readable) -> list[Any]:
    """The filter graph from the source to the grid frames of each plan."""
    first, probe = plans[0], plans[0].probe
    # A stream that changes its size or format stays in the same graph: a new graph would lose the
    # frames that the old one still holds.
    options: dict[str, Any] = {"threads": 1, "copyts": None, "reinit_filter": 0}
    options |= input_options(probe)
    if start.hardware:
        # Without a format for the output, frames come back to main memory.
        options["hwaccel"] = start.hardware
    if first.is_fast:
        options["skip_loop_filter"] = "all"
    if probe.outliers and not probe.needs_dts and has_input_filters():
        # After a presentation time that goes back, a decoder would use decoding times instead.
        options["bsf:v"] = "setts=pts=PTS:dts=NOPTS"
    if start.selection is not None:
        options["bsf:v"] = start.selection.bitstream_filter
    if start.position_ns is not None:
        seconds = Fraction(start.position_ns + probe.start_ns, NANOSECONDS)
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
    if len(plans) == 1:
        return [_on_grid(stream, first)]
    split = stream.filter_multi_output("split", len(plans))
    return [_on_grid(split[number], plan) for number, plan in enumerate(plans)]


def _on_grid(stream: Any, plan: MoviePlan) -> Any:
    """Filter graph from progressive frames to the frames of a plan."""
    rate = plan.recipe.fps_fraction
    stream = stream.filter("fps", f"{rate.numerator}/{rate.denominator}", round="up")
    return normalized(stream, plan.probe, plan.crop, (plan.height, plan.width))


def _output(stream: Any, plan: MoviePlan, url: str) -> Any:
    return ffmpeg.output(
        stream,
        url,
        format="rawvideo",
        pix_fmt=pixel_format(plan.probe.video),
        fps_mode="passthrough",
        **WITHOUT_TEXTS,
    )


def _command(outputs: Sequence[Any]) -> list[str]:
    output = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel")
    output = output.global_args("repeat+level+info", "-debug_ts")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command
