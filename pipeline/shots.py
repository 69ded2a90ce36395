"""Shot cuts, and clips that keep to one shot.

Whether a frame starts a new shot is decided on the frames of the clip grid, by PySceneDetect's
content detector. A recipe with `clips="shots"` needs the cuts before there are clips, so that a
first pass over the movie finds them; sound and picture then work from the same list of starts.

    shots   |-------------- 0 --------------|- 1 -|---------- 2 ----------|
    clips   |---- 0 ----|---- 1 ----|       :     :---- 2 ----|           :
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scenedetect import ContentDetector, FrameTimecode

from pipeline.errors import TooShortError
from pipeline.grid import GridRun
from pipeline.plan import MoviePlan
from shards_spec.recipe import NANOSECONDS, Recipe

#: A shot lasts at least this long; nearer cuts are flashes or fast motion.
MIN_SHOT_SECONDS = 0.6


def align_to_shots(plan: MoviePlan, path: str) -> MoviePlan:
    """A plan of even clips -> one whose clips start where shots do and never cross a cut.

    Raises `TooShortError` when no shot is as long as a clip.
    """
    recipe = plan.recipe
    cuts = find_cuts(plan, path)
    first_step = ceil(_seconds(plan.movie.start_seconds) * recipe.fps_fraction)
    last_step = int(Fraction(plan.probe.duration_ns, NANOSECONDS) * recipe.fps_fraction)
    if plan.movie.end_seconds:
        last_step = min(last_step, int(_seconds(plan.movie.end_seconds) * recipe.fps_fraction))
    starts, num_short = starts_in_shots(recipe, cuts, first_step, last_step)
    if not starts:
        raise TooShortError(
            f"{plan.movie.name}: none of {num_short} shots is as long as a clip "
            f"({recipe.num_frames} frames at {recipe.fps:g} per second); use shorter clips or "
            'clips="uniform"'
        )
    return replace(
        plan,
        first_clip=0,
        end_clip=len(starts),
        starts=starts,
        cuts=cuts,
        num_short_shots=num_short,
    )


def find_cuts(plan: MoviePlan, path: str) -> tuple[int, ...]:
    """Grid steps of a whole movie at which a new shot starts, from one pass over it."""
    recipe = plan.recipe
    detector = CutDetector(recipe.shot_threshold, recipe.fps)
    run = GridRun(plan, path, first_step=0, seek_ns=None, what=f"{plan.movie.name}, shots")
    wall_seconds = 600 + 60 * plan.probe.duration_ns / NANOSECONDS
    steps = [step for step, frame in run.frames(wall_seconds) if detector.is_cut(frame)]
    return apart(steps, recipe)


def apart(steps: Iterable[int], recipe: Recipe) -> tuple[int, ...]:
    """Cuts in order, less those nearer than `MIN_SHOT_SECONDS` to the one before."""
    least = MIN_SHOT_SECONDS * recipe.fps
    kept: list[int] = []
    for step in sorted(steps):
        if not kept or step - kept[-1] >= least:
            kept.append(step)
    return tuple(kept)


def starts_in_shots(
    recipe: Recipe, cuts: Iterable[int], first_step: int, end_step: int
) -> tuple[tuple[int, ...], int]:
    """Clips that keep to one shot, within the steps [first, end).

    Returns:
        The grid steps at which clips start, and how many shots are shorter than a clip.
    """
    inside = [cut for cut in cuts if first_step < cut < end_step]
    starts: list[int] = []
    num_short = 0
    for begin, end in pairwise([first_step, *inside, end_step]):
        fitting = range(begin, end - recipe.num_frames + 1, recipe.stride_frames)
        starts += fitting
        num_short += len(fitting) == 0
    return tuple(starts), num_short


def _seconds(value: float) -> Fraction:
    return Fraction(value).limit_denominator(1_000_000)


class CutDetector:
    """PySceneDetect's content detector, without memory of earlier cuts.

    Whether a frame starts a new shot depends on it and the frame before alone, so the answer is the
    same wherever a segment starts; the least length of a shot is applied to the whole movie later.
    """

    def __init__(self, threshold: float, fps: float) -> None:
        self._detector = ContentDetector(threshold=threshold, min_scene_len=0)
        self._fps = fps
        self._count = 0

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Whether `frame` (H, W, 3) RGB differs sharply from the one given before."""
        time = FrameTimecode(self._count, self._fps)
        self._count += 1
        return bool(self._detector.process_frame(time, frame[..., ::-1]))
