"""Decodes one segment of a movie into grid frames, in one sequential pass.

If the plan wants a graphics card, on one, or on the CPU if anything about that fails:

    card is there, movie fits -> decoded there -> nothing reported -> done
             \\                      \\                  \\
              '----------------------'------------------'-> decoded on the CPU, counted

A card does not report damage inside of a frame. So a report of any kind, about the container, the
packets or the card, sends the whole segment to the CPU, which judges damage as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MovieError
from pipeline.ffmpeg import device_problem
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment, Span
from pipeline.sources import Readable
from pipeline.video.encoded_frames import EncodedSpan
from pipeline.video.reports import may_hide_damage
from pipeline.video.restarts import GridSample, SegmentDecoder
from pipeline.video.views import ViewPart, ViewsDecoder
from shards_spec.redaction import plain, redacted

#: Codecs and pixel formats of which a card gives the frames that the standard defines.
CODECS = frozenset({"h264", "hevc"})
PIXEL_FORMATS = frozenset({"yuv420p", "yuvj420p"})
_MAX_REASON = 300


@dataclass(frozen=True)
class VideoSegment:
    """The N grid frames of a segment; their encoded bytes travel as a separate array.

    Arrays are (N,) int64.
    """

    number: int
    steps: NDArray[np.int64]
    """Grid steps of the frames, in order."""
    pts_ns: NDArray[np.int64]
    """Presentation time of the source frame that is on screen at the step."""
    luma_sum: NDArray[np.int64]
    """Over the pixels of the frame."""
    luma_square_sum: NDArray[np.int64]
    change_sum: NDArray[np.int64]
    """Absolute change of luma since the previous step, over the pixels; 0 without a previous one.
    """
    cut_steps: tuple[int, ...]
    """Steps whose frames differ sharply from the previous ones, both undamaged."""
    damaged_steps: tuple[int, ...]
    """Steps whose frames cannot be trusted; see `GridReader.damaged_steps`."""
    scan_ends: NDArray[np.int64]
    """Where each frame's entropy-coded data ends in the segment's bytes."""
    jpeg_head: bytes
    """JPEG headers, the same for all frames; empty without a frame."""
    num_runs: int
    """How often ffmpeg was started: once, unless there is damage or a keyframe is not an entry."""
    cpu_seconds: float
    leaves_out: bool = False
    """Whether the decoder did not see all frames; see `restarts`."""
    must_be_whole: bool = False
    """Whether something was reported about a decoder that did not do all of its work, so that all
    of the movie has to be decoded whole, as this segment has been since."""
    assumes_no_damage: bool = False
    """Whether the frames could differ from run to run if the movie were damaged."""
    is_fast: bool = False
    """Whether the decoder skipped the loop filter; see `MoviePlan.is_fast`."""
    device: str = "cpu"
    """What decoded it: `cpu`, or the kind of device that `MoviePlan.hardware` names."""
    hardware_problem: str = ""
    """Why such a device did not, though the plan wants one."""


Decoded = tuple[VideoSegment, NDArray[np.uint8]]
"""A segment, and (M,) uint8: the entropy-coded data of its frames, concatenated."""


def segments_to_repeat(segments: Sequence[VideoSegment]) -> list[int]:
    """Numbers of the segments of a movie that have to be decoded again, whole."""
    if not any(segment.must_be_whole for segment in segments):
        return []
    return [
        segment.number
        for segment in segments
        if segment.leaves_out or segment.is_fast or segment.assumes_no_damage
    ]


def sample_span(plan: MoviePlan, span: Span, source: Readable) -> GridSample | None:
    """The frames of a span as decoded; see `SegmentDecoder.sample`.

    Raises `MovieError` if ffmpeg failed before the first frame, or was stopped.
    """
    segment = Segment(0, span.first_step, span.end_step, span.seek_ns)
    return SegmentDecoder(plan, segment, source).sample(span)


def decode_segment(plan: MoviePlan, segment: Segment, source: Readable) -> Decoded:
    """Decode a segment of an open movie.

    Raises:
        MovieError: ffmpeg failed before the first frame, or was stopped.
    """
    decoder, spans, problem = decode_spans(plan, segment, source)
    return _joined(
        segment,
        spans,
        num_runs=decoder.num_runs,
        cpu_seconds=decoder.cpu_seconds,
        leaves_out=decoder.leaves_out,
        must_be_whole=decoder.must_be_whole,
        assumes_no_damage=decoder.assumes_no_damage,
        is_fast=decoder.is_fast,
        device=decoder.hardware or "cpu",
        hardware_problem=problem,
    )


def decode_views(parts: Sequence[ViewPart], source: Readable) -> list[Decoded | MovieError]:
    """Decode the same part of an open movie for several views of it, once if possible.

    Returns for each what `decode_segment` returns or raises; what all cost is split evenly.

    Raises:
        MovieError: ffmpeg was stopped.
    """
    decoder = ViewsDecoder(parts, source)
    may_hide = any(may_hide_damage(part.plan) for part in parts)
    # One run for all views reuses the buffers of frames.
    views = None if may_hide and any(part.plan.is_damaged for part in parts) else decoder.decode()
    seconds = decoder.cpu_seconds / len(parts)
    if views is not None:
        return [
            _joined(
                part.segment,
                spans,
                num_runs=1,
                cpu_seconds=seconds,
                leaves_out=decoder.leaves_out,
                assumes_no_damage=may_hide,
            )
            for part, spans in zip(parts, views, strict=True)
        ]
    results: list[Decoded | MovieError] = []
    for part in parts:
        try:
            # What it reports then depends on the frames that this view needs, as in its own run.
            alone = replace(part.plan, other_rates=())
            video, data = decode_segment(alone, part.segment, source)
        except MovieError as error:
            results.append(error)
        else:
            results.append((replace(video, cpu_seconds=video.cpu_seconds + seconds), data))
    return results


def _joined(segment: Segment, spans: Sequence[EncodedSpan], **known: Any) -> Decoded:
    """The segment with all of its spans."""
    sums = [frame for span in spans for frame in span.sums]
    scans = [scan for span in spans for scan in span.scans]
    luma_sum, luma_square_sum, change_sum = np.array(sums, np.int64).reshape(-1, 3).T
    video = VideoSegment(
        number=segment.number,
        steps=np.array([step for span in spans for step in span.steps], np.int64),
        pts_ns=np.array([pts for span in spans for pts in span.pts_ns], np.int64),
        luma_sum=luma_sum,
        luma_square_sum=luma_square_sum,
        change_sum=change_sum,
        cut_steps=tuple(sorted(step for span in spans for step in span.cuts)),
        damaged_steps=tuple(sorted(step for span in spans for step in span.damaged)),
        scan_ends=np.cumsum([len(scan) for scan in scans], dtype=np.int64),
        jpeg_head=next((span.head for span in spans if span.head), b""),
        **known,
    )
    return video, np.frombuffer(b"".join(scans), dtype=np.uint8)


class _ReportedError(Exception):
    """Something was reported about a run on the card, or frames are missing."""


class HardwareDecoder(SegmentDecoder):
    """Decodes the spans of a segment on a graphics card, or raises."""

    def __init__(self, plan: MoviePlan, segment: Segment, source: Readable) -> None:
        super().__init__(plan, segment, source)
        self.hardware = plan.hardware

    def _decode(self, spans: Sequence[Span]) -> None:
        if not self._decode_selectively(self._selection, spans):
            raise _ReportedError("something was reported about the frames, or some are missing")
        self.leaves_out = self._selection is not None


def decode_spans(
    plan: MoviePlan, segment: Segment, source: Readable
) -> tuple[SegmentDecoder, list[EncodedSpan], str]:
    """All spans of a segment with the decoder that provided them.

    Also returns why a card did not, though the plan wants one; empty if it did, or need not. Raises
    `MovieError` if the source cannot be read, or the CPU cannot decode it.
    """
    problem, cpu_seconds = "", 0.0
    if plan.hardware and fits(plan):
        problem = device_problem(plan.hardware)
        if not problem:
            on_card = HardwareDecoder(plan, segment, source)
            try:
                return on_card, on_card.decode(), ""
            except (MovieError, _ReportedError) as error:
                if source.failure:
                    raise source.failure from error
                problem, cpu_seconds = str(error), on_card.cpu_seconds
    decoder = SegmentDecoder(plan, segment, source)
    spans = decoder.decode()
    decoder.cpu_seconds += cpu_seconds
    return decoder, spans, plain(redacted(problem))[:_MAX_REASON]


def fits(plan: MoviePlan) -> bool:
    """Whether a card may decode a movie: progressive H.264 or HEVC of 8 bits, times certain."""
    video = plan.probe.video
    return (
        video.codec in CODECS
        and video.pixel_format in PIXEL_FORMATS
        and not video.is_interlaced
        and not plan.is_fast
        and plan.probe.has_sure_times
        and not plan.probe.shapes
    )
