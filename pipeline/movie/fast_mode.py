"""Decides whether a movie is decoded in fast mode, and measures what that does to its frames.

A few short parts, spread over the movie, are decoded both ways:

    movie      |K-------K-------K-------K-------K-------K-------|    K: keyframes
    sample     |    [==)|           [==)|           [==)        |    from a keyframe on

Which parts these are depends on the movie and the recipe alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plan.movie_plan import FastError, MoviePlan
from pipeline.plan.segments import Span
from pipeline.sources import Readable
from pipeline.video import GridSample
from pipeline.video.segment import sample_span

#: Codecs with a loop filter that ffmpeg's decoder can skip.
CODECS = frozenset({"h264", "hevc", "vp8", "vp9"})
#: Parts of a movie that are decoded both ways: one for each minute of it, up to a number.
MAX_PARTS = 3
SECONDS_PER_PART = 60.0
#: Length of a part as a share of the movie, and its limits in seconds: long enough to see errors
#: grow until the next keyframe, short enough to cost little.
PART_SHARE = 0.005
MIN_PART_SECONDS, MAX_PART_SECONDS = 1.0, 12.0

#: Structural similarity as Wang et al. (2004) define it: window, and constants for 8 bits.
_SIGMA, _WINDOW = 1.5, (11, 11)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def with_fast_decode(plan: MoviePlan, source: Readable) -> MoviePlan:
    """The plan in fast mode with its measured error; `plan` itself if the movie has to be exact.

    It has to if its codec has no loop filter, or if anything is reported about the sample.
    """
    if plan.probe.video.codec not in CODECS:
        return plan
    error = measure(plan, source)
    return replace(plan, is_fast=True, fast_error=error) if error else plan


def measure(plan: MoviePlan, source: Readable) -> FastError | None:
    """How frames of the fast mode differ from exact ones; None if anything is reported."""
    times: list[int] = []
    similarities: list[float] = []
    for part in sample_parts(plan):
        fast = sample_span(replace(plan, is_fast=True), part, source)
        exact = sample_span(plan, part, source) if fast else None
        if fast is None or exact is None:
            return None
        times.append(int(np.abs(fast.pts_ns - exact.pts_ns).max()))
        similarities += _similarities(fast, exact)
    return FastError(max(times), float(np.mean(similarities)), min(similarities))


def sample_parts(plan: MoviePlan) -> Sequence[Span]:
    """The parts that are decoded both ways, each from a keyframe on."""
    # Also where few clips are made, so that both routes decide alike.
    spans = plan.all_spans
    count = min(MAX_PARTS, max(1, int(plan.seconds // SECONDS_PER_PART)))
    numbers = sorted({(2 * k + 1) * len(spans) // (2 * count) for k in range(count)})
    seconds = min(max(PART_SHARE * plan.seconds, MIN_PART_SECONDS), MAX_PART_SECONDS)
    max_steps = ceil(seconds * plan.recipe.fps_fraction)
    parts = [spans[number] for number in numbers]
    return [
        Span(part.first_step, min(part.end_step, part.first_step + max_steps), part.seek_ns)
        for part in parts
    ]


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two (H, W) images; 1 if they are equal."""
    x, y = (np.asarray(image, np.float64) for image in (first, second))
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float((luminance * structure).mean())


def _similarities(fast: GridSample, exact: GridSample) -> list[float]:
    pairs = zip(fast.frames, exact.frames, strict=True)
    return [ssim(_luma(a), _luma(b)) for a, b in pairs]


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(image, _WINDOW, _SIGMA), np.float64)
