"""Shot cuts, and clips that keep to one shot.

Whether a frame starts a new shot is decided on the frames of the clip grid, by PySceneDetect's
content detector, as they are decoded. With `clips="shots"` clips are placed once all segments are
decoded and all cuts are known; they start on the grid, so that every frame of theirs is there.

    shots   |-------------- 0 --------------|- 1 -|---------- 2 ----------|
    clips   |---- 0 ----|---- 1 ----|       :     :---- 2 ----|           :
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scenedetect import ContentDetector, FrameTimecode

from pipeline.errors import TooShortError
from pipeline.plan.movie_plan import MoviePlan
from shards_spec.recipe import Recipe

#: A shot lasts at least this long; nearer cuts are flashes or fast motion.
MIN_SHOT_SECONDS = 0.6


def place_clips(plan: MoviePlan, cut_steps: Iterable[int]) -> MoviePlan:
    """The plan with its cuts; with `clips="shots"` also with its clips, which keep to one shot.

    `cut_steps` are the grid steps of the movie whose frames differ sharply from the one before.

    Raises `TooShortError` when no shot is as long as a clip.
    """
    recipe = plan.recipe
    cuts = apart(cut_steps, recipe)
    if recipe.clips == "uniform":
        return replace(plan, cuts=cuts)
    starts, num_short = starts_in_shots(recipe, cuts, plan.first_step, plan.end_step)
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
