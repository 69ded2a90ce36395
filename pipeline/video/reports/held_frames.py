"""Frames that are the same each time although the decoder writes only a part of them.

Some decoders leave a part of a damaged frame as it is, and do not always report that: the HEVC
decoder, for example, does not report a slice that ends early. The part is then what the frame's
buffer contained before: an earlier frame, since decoders use the buffers of frames again that
nobody needs any more. Which of them is free at that moment depends on how far the filters are,
which run in a thread of their own, and so differs from run to run, as do all frames that refer to
such a frame.

A new buffer contains zeros. So where a movie may be damaged in this way, its spans are decoded one
by one, and each run keeps all frames until its end: no buffer is used twice.
"""

from __future__ import annotations

from fractions import Fraction

from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Span
from shards_spec.recipe import NANOSECONDS

#: Decoders that leave parts of frames as they are. Found by trials with damaged frames, in which
#: those of H.264, MPEG-2, MPEG-4 and AV1 did not without a report; VVC, which no bundled encoder
#: makes, is here because it ends slices like HEVC.
_CODECS = frozenset({"hevc", "mjpeg", "vvc"})
#: Most memory that the frames of a run may take. A quarter of what ffmpeg gets by default: about
#: 340 frames of 1080 lines with 8 bits, which is more than the usual distance of keyframes.
MAX_BYTES = 1 << 30
#: How far the decoder may be ahead of the last frame that is used.
_AHEAD_NS = 2 * NANOSECONDS
#: For streams that do not state their frame rate.
_DEFAULT_RATE = Fraction(60)


def may_hide_damage(plan: MoviePlan) -> bool:
    """Whether the decoder of a movie may leave parts of frames as they are, without a report."""
    return plan.probe.video.codec in _CODECS


def holds_frames(plan: MoviePlan, span: Span) -> bool:
    """Whether a run over a span keeps its frames: if they may differ otherwise, and fit."""
    if not (plan.is_damaged and may_hide_damage(plan)):
        return False
    start_ns = span.seek_ns or 0
    length_ns = plan.recipe.grid_ns(span.end_step) + _AHEAD_NS - start_ns
    num_frames = length_ns * _frame_rate(plan) / NANOSECONDS
    return num_frames * _frame_bytes(plan) <= MAX_BYTES


def _frame_rate(plan: MoviePlan) -> Fraction:
    numerator, _, denominator = plan.probe.video.avg_frame_rate.partition("/")
    if int(numerator or 0) and int(denominator or 1):
        return Fraction(int(numerator), int(denominator or 1))
    return _DEFAULT_RATE


def _frame_bytes(plan: MoviePlan) -> Fraction:
    video = plan.probe.video
    name = video.pixel_format
    # Values per pixel: one of luma, and two of color for four, two or one pixel.
    values = Fraction(3, 2) if "420" in name else Fraction(2) if "422" in name else Fraction(3)
    value_bytes = 2 if name.endswith(("le", "be")) else 1
    return video.width * video.height * values * value_bytes
