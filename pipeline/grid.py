"""The frames on the clip grid: one ffmpeg, one sequential pass, frames chosen by time.

The filter graph keeps, for each step of the grid, the frame that is on screen at that instant (the
last one with pts <= n / fps; ffmpeg's `fps` filter with `round=up` does just that). A `showinfo`
before it reports the pts of every decoded frame, so the true time of each chosen frame is known,
and one behind it the step that each chosen frame stands for.

    source frames   a     b     c     d     e     f        pts
    grid steps      |        |        |        |           n / fps
    chosen          a        b        d        e

Pictures that a decoder had to mend are known too. Limits: HEVC's decoder mends without saying so,
and where whole keyframes of a transport stream are lost, other segments may give other pictures.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.colour import ToneMap, colour_of
from pipeline.picture import input_stream, normalised, pixel_format, progressive
from pipeline.plan import INTERLACED_LEAD_NS, MoviePlan
from pipeline.process import Run
from pipeline.tools import ffmpeg_path
from shards_spec.recipe import NANOSECONDS

#: What `showinfo` reports: which of the two, time, and for source frames the kind of picture.
_REPORT = re.compile(r"^\[showinfo@(source|grid)[^]]*\] n: *\d+ +pts: *(-?\d+) .*? type:(\S)")

#: What `-debug_ts` reports of a frame that leaves the decoder, and what stands before it when the
#: decoder had to mend the frame from earlier ones (H.264, MPEG-1/2/4 and their kin tell it).
_DECODED = re.compile(r"decoder -> .*?(?:best_effort_ts|\bpts):(-?\d+) .*keyframe:(\d)")
_MENDED = "corrupt decoded frame"
#: A decoder that lacks pictures to refer to. At an open entry that is as it should be, later not.
_LACKS = re.compile(
    r"\[\w+ @[^]]*\] (?:co located|mmco|[Ff]rame num|no frame|.*"
    r"([Rr]eference|find ref|short term|undecodable|parsing NAL|slice_header|header damaged))"
)
_OPEN = 1 << 62


class GridRun:
    """One decoding run over a part of a movie. Read `frames` first; the rest is known then."""

    def __init__(
        self, plan: MoviePlan, path: str, *, first_step: int, seek_ns: int | None, what: str
    ) -> None:
        """Frames from the step before `first_step` on, entered at the keyframe at `seek_ns`."""
        self.cpu_seconds = 0.0
        self._plan = plan
        self._path = path
        self._first_step = first_step
        self._seek_ns = seek_ns
        self._what = what
        self._pts: list[int] = []
        self._grid: list[int] = []
        self._first_intra_pts: int | None = None
        self._is_mended = False
        self._lacks_pictures = False
        self._num_decoded = 0
        self._damage: list[list[int]] = []
        self._late = False
        colour = colour_of(plan.probe.video)
        self._tone = ToneMap(colour, plan.probe.peak_nits) if colour.needs_mapping else None

    def frames(self, wall_seconds: float) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        """(grid step, (H, W, 3) RGB frame) in order, from the step before the first one on.

        Ends when the stream does, or at once when ffmpeg entered too late.

        Raises:
            MediaError: ffmpeg failed before the first frame, or was stopped.
        """
        command = _command(self._plan, self._seek_ns, self._path)
        run = Run(command, what=self._what, wall_seconds=wall_seconds, on_line=self._note_report)
        try:
            with run:
                for step, frame in self._raw_frames(run):
                    if step >= self._first_step - 1:
                        yield step, self._tone(frame) if self._tone else frame
                if not self._late:
                    # A stream that breaks off keeps its intact clips; without a frame it is wrong.
                    run.finish(tolerate_errors=True)
                    if not self._pts:
                        raise run.error("no frame was decoded")
        finally:
            self.cpu_seconds = run.cpu_seconds

    @property
    def entered_well(self) -> bool:
        """Whether decoding began early enough, at a picture that needs none before it.

        Nor may later ones: what a decoder shows for a picture that it lacks depends on all that it
        decoded before, so that only the movie's start is a good entry then.
        """
        if self._seek_ns is None:
            return True
        if self._late or self._lacks_pictures or self._first_intra_pts is None:
            return False
        tick = self._plan.probe.video.time_base * NANOSECONDS
        return (self._first_intra_pts - 1) * tick <= self._seek_ns

    def on_screen_ns(self, step: int) -> int:
        """Presentation time of the frame on screen at a grid step."""
        return round(self._on_screen_pts(step) * self._plan.probe.video.time_base * NANOSECONDS)

    def is_damaged(self, step: int) -> bool:
        """Whether the frame on screen at a grid step was mended, or is made from one that was.

        What such a frame shows depends on all that was decoded before; the next keyframe that is
        whole ends it. A deinterlacer looks at the frames beside it, too.
        """
        lead = INTERLACED_LEAD_NS if self._plan.probe.video.is_interlaced else 0
        margin = round(Fraction(lead, NANOSECONDS) / self._plan.probe.video.time_base)
        pts = self._on_screen_pts(step)
        return any(start - margin <= pts < end + margin for start, end in self._damage)

    def _on_screen_pts(self, step: int) -> int:
        video, rate = self._plan.probe.video, self._plan.recipe.fps_fraction
        place = bisect.bisect_right(self._pts, Fraction(step) / (video.time_base * rate))
        return self._pts[max(place - 1, 0)]

    def _raw_frames(self, run: Run) -> Iterator[tuple[int, NDArray[Any]]]:
        """(grid step, frame as ffmpeg gives it), from where it entered the movie."""
        shape = (self._plan.height, self._plan.width, 3)
        kind = np.dtype(np.uint16 if self._tone else np.uint8)
        size = int(np.prod(shape)) * kind.itemsize
        count = 0
        while (data := run.read_exactly(size)) is not None:
            count += 1
            run.wait_for_line(lambda: len(self._grid) >= count)  # noqa: B023
            step = self._grid[count - 1]
            if count == 1 and self._seek_ns is not None and step >= self._first_step:
                self._late = True
                return
            yield step, np.frombuffer(data, dtype=kind).reshape(shape)

    def _note_report(self, line: str) -> None:
        # ffmpeg's threads share a line at times: the decoder's words may stand behind a filter's.
        self._note_damage(line)
        match = _REPORT.match(line)
        if match is None:
            return
        pts = int(match.group(2))
        if match.group(1) == "grid":
            self._grid.append(pts)
            return
        if self._first_intra_pts is None and match.group(3) in "I?":
            self._first_intra_pts = pts
        # A clock that jumps back shows nothing until it is where it was.
        if not self._pts or pts > self._pts[-1]:
            self._pts.append(pts)

    def _note_damage(self, line: str) -> None:
        if _MENDED in line:
            self._is_mended = True
        elif self._num_decoded and _LACKS.search(line):
            self._lacks_pictures = True
        elif found := _DECODED.search(line):
            pts = int(found.group(1)) - self._plan.probe.start_pts
            is_open = bool(self._damage) and self._damage[-1][1] == _OPEN
            if self._is_mended and not is_open:
                self._damage.append([pts, _OPEN])
            elif not self._is_mended and is_open and found.group(2) == "1":
                self._damage[-1][1] = pts
            self._is_mended = False
            self._num_decoded += 1


def _command(plan: MoviePlan, seek_ns: int | None, path: str) -> list[str]:
    probe, recipe = plan.probe, plan.recipe
    # A stream that changes its size or format goes on in the same graph: a new one would lose the
    # frames that the old one holds.
    options: dict[str, Any] = {"threads": 1, "copyts": None, "reinit_filter": 0}
    options["noautorotate"] = None
    if seek_ns is not None:
        seconds = Fraction(seek_ns + probe.start_ns, NANOSECONDS)
        # Half a tick of slack: the keyframe itself must not be missed by rounding.
        slack = probe.video.time_base / 2
        options |= {
            "seek_timestamp": 1,
            "noaccurate_seek": None,
            "ss": f"{float(seconds + slack):.6f}",
        }
    stream = input_stream(path, **options)[str(probe.video.index)]
    stream = stream.filter("setpts", f"PTS-({probe.start_pts})")
    stream = progressive(stream.filter("showinfo@source", checksum=0), probe)
    rate = recipe.fps_fraction
    stream = stream.filter("fps", f"{rate.numerator}/{rate.denominator}", round="up")
    stream = stream.filter("showinfo@grid", checksum=0)
    stream = normalised(stream, probe, plan.crop, (plan.height, plan.width))
    output = ffmpeg.output(
        stream,
        "pipe:1",
        format="rawvideo",
        pix_fmt=pixel_format(probe.video),
        fps_mode="passthrough",
    )
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+info")
    output = output.global_args("-debug_ts")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command
