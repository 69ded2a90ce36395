"""How the video of a movie is decoded if its recipe wants few clips: in one pass, or around them.

    clips     |----|    :    |====|    :    |----|    =: chosen, `Recipe.clips_per_movie`
    spans     [     )[        )[        )[        )
    one pass  ------------------------------------>
    seeks              ------------>                  whole spans, but the last one only as far as
                                                      a clip reaches, unless something is reported

Both give the same clips, because a span is the same whichever run of the decoder provides it (see
`video.restarts`). What each of them costs is predicted from the file alone; the cheaper one is
used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.config import Seeks
from pipeline.plan.segments import Span
from pipeline.probe import Probe
from shards_spec.recipe import NANOSECONDS, Recipe

#: CPU seconds to decode a pixel, scaling included, and by codec where that differs. Measured on
#: movies of usual bit rates; only ratios matter for the choice.
PIXEL_SECONDS = 2.7e-9
CODEC_PIXEL_SECONDS = {
    "hevc": 3.5e-9,
    "mpeg1video": 1.5e-9,
    "mpeg2video": 1.5e-9,
    "mpeg4": 1.5e-9,
    "prores": 6e-9,
    "vp9": 2.5e-9,
}
#: CPU seconds to start ffmpeg, open the movie, and seek.
RUN_SECONDS = 0.15
#: The decoder is this far ahead when it is stopped, frames.
AHEAD_FRAMES = 12

#: Grid steps [first, end).
Steps = tuple[int, int]
RouteName = Literal["pass", "seeks"]


@dataclass(frozen=True)
class Route:
    """How the video of a movie is decoded."""

    used: tuple[Steps, ...] = ()
    """Steps that chosen clips show, sorted and disjoint, when only spans with any of them are
    decoded; empty if all are."""
    predicted_seconds: float = 0.0
    """CPU seconds of ffmpeg for the video, as predicted."""
    pass_seconds: float = 0.0
    """The same for one pass."""

    @property
    def name(self) -> RouteName:
        """`seeks` if parts of the movie are not decoded."""
        return "seeks" if self.used else "pass"

    def needed(self, spans: Iterable[Span]) -> list[Span]:
        """The spans that are decoded, and how far."""
        spans = list(spans)
        return needed_spans(spans, self.used) if self.used else spans


ONE_PASS = Route()


def needed_spans(spans: Iterable[Span], used: Sequence[Steps]) -> list[Span]:
    """Those of consecutive spans that contain `used` steps.

    `stop_step` is set for those that no other one continues.
    """
    needed: list[Span] = []
    position = 0
    for span in spans:
        while position < len(used) and used[position][1] <= span.first_step:
            position += 1
        last = position
        while last < len(used) and used[last][0] < span.end_step:
            last += 1
        if last == position:
            continue
        if needed and needed[-1].end_step == span.first_step:
            needed[-1] = replace(needed[-1], stop_step=None)
        needed.append(replace(span, stop_step=min(span.end_step, used[last - 1][1])))
    return needed


def choose_route(
    recipe: Recipe,
    probe: Probe,
    spans: Sequence[Span],
    clips: Sequence[Steps],
    seeks: Seeks,
) -> Route:
    """The route for a movie of which only some clips are made.

    Args:
        spans: all spans of the part of the movie that clips are taken from.
        clips: steps of each chosen clip; empty if all are made, or if only the decoded frames show
            where clips start.
        seeks: the route that was asked for.
    """
    last_step = spans[-1].end_step
    pass_seconds = _seconds(recipe, probe, [(spans[0], last_step)])
    one_pass = Route((), pass_seconds, pass_seconds)
    if not clips or seeks == "never":
        return one_pass
    used = merged(clips)
    needed = needed_spans(spans, used)
    if len(needed) == len(spans):
        return one_pass
    seek_seconds = _seconds(recipe, probe, _runs(needed))
    if seek_seconds >= pass_seconds and seeks != "always":
        return one_pass
    return Route(used, seek_seconds, pass_seconds)


def merged(ranges: Iterable[Steps]) -> tuple[Steps, ...]:
    """Sorted ranges without overlaps; adjacent ones are joined."""
    joined: list[Steps] = []
    for first, end in ranges:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return tuple(joined)


def _runs(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """(first span, last step) of each run over consecutive spans."""
    runs: list[tuple[Span, int]] = []
    end = -1
    for span in spans:
        last = span.end_step if span.stop_step is None else span.stop_step
        if runs and span.first_step == end:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((span, last))
        end = span.end_step
    return runs


def _seconds(recipe: Recipe, probe: Probe, runs: Sequence[tuple[Span, int]]) -> float:
    """CPU seconds of these runs of the decoder."""
    num_frames = max(1, len(probe.packet_order.pts()))
    rate = num_frames * NANOSECONDS / probe.duration_ns
    pixels = probe.video.width * probe.video.height
    pixel_seconds = CODEC_PIXEL_SECONDS.get(probe.video.codec, PIXEL_SECONDS)
    seconds = 0.0
    for span, end_step in runs:
        shown_ns = recipe.grid_ns(end_step) - (span.seek_ns or 0)
        frames = shown_ns / NANOSECONDS * rate + AHEAD_FRAMES
        seconds += RUN_SECONDS + min(frames, num_frames) * pixels * pixel_seconds
    return seconds
