"""Where clips start: evenly, or so that each keeps to one shot.

Whether a frame starts a new shot is decided while grid frames are decoded (see
`video.cut_detector`). With `clips="shots"` clips are placed once the cuts of all segments are
known. They start on grid steps, so all of their frames have been decoded.

    shots   |-------------- 0 --------------|- 1 -|---------- 2 ----------|
    clips   |---- 0 ----|---- 1 ----|       :     :---- 2 ----|           :
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import pairwise

from pipeline.errors import TooShortError
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan, uniform_starts
from shards_spec.recipe import Recipe

#: Shortest shot: cuts closer together are flashes or fast motion.
MIN_SHOT_SECONDS = 0.6


def place_clips(plan: MoviePlan, cut_steps: Iterable[int]) -> PlacedPlan:
    """Decide where clips start, and which of them are made.

    Args:
        plan: of the movie.
        cut_steps: grid steps whose frames differ sharply from the one before. With
            `clips="uniform"` they do not affect the clips.

    Raises:
        TooShortError: no shot is as long as a clip.
    """
    recipe = plan.recipe
    cuts = merge_close_cuts(cut_steps, recipe)
    if recipe.clips == "uniform":
        first_clip = plan.first_step // recipe.stride_frames
        return _placed(plan, first_clip, uniform_starts(plan), cuts, ())
    starts, short_shots = starts_in_shots(recipe, cuts, plan.first_step, plan.end_step)
    if not starts:
        raise TooShortError(
            f"{plan.movie.name}: none of its {len(short_shots)} shots is as long as a clip "
            f"({recipe.num_frames} frames at {recipe.fps:g} per second); use shorter clips or "
            'clips="uniform"'
        )
    return _placed(plan, 0, starts, cuts, short_shots)


def merge_close_cuts(steps: Iterable[int], recipe: Recipe) -> tuple[int, ...]:
    """Cuts in order, without those closer than `MIN_SHOT_SECONDS` to the one before."""
    min_steps = MIN_SHOT_SECONDS * recipe.fps
    kept: list[int] = []
    for step in sorted(steps):
        if not kept or step - kept[-1] >= min_steps:
            kept.append(step)
    return tuple(kept)


def starts_in_shots(
    recipe: Recipe, cuts: Iterable[int], first_step: int, end_step: int
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Place clips so that each keeps to one shot, within the steps [first_step, end_step).

    Returns:
        The grid steps at which clips start, and [first, end) of each shot shorter than a clip.
    """
    inside = [cut for cut in cuts if first_step < cut < end_step]
    starts: list[int] = []
    short_shots: list[tuple[int, int]] = []
    for begin, end in pairwise([first_step, *inside, end_step]):
        fitting = range(begin, end - recipe.num_frames + 1, recipe.stride_frames)
        starts += fitting
        if not fitting:
            short_shots.append((begin, end))
    return tuple(starts), tuple(short_shots)


def _placed(
    plan: MoviePlan,
    first_clip: int,
    all_starts: Sequence[int],
    cuts: tuple[int, ...],
    short_shots: tuple[tuple[int, int], ...],
) -> PlacedPlan:
    recipe = plan.recipe
    chosen = recipe.chosen_clips(plan.movie.movie_id, len(all_starts))
    starts = tuple(all_starts[index] for index in chosen)
    knows_all = recipe.clips == "shots" or len(starts) == len(all_starts)
    return PlacedPlan(
        **{field.name: getattr(plan, field.name) for field in fields(MoviePlan)},
        numbers=tuple(first_clip + index for index in chosen),
        starts=starts,
        shot_ids=tuple(_shot_ids(recipe, starts, cuts, knows_all)),
        clips_end_step=all_starts[-1] + recipe.num_frames,
        num_not_chosen=len(all_starts) - len(starts),
        cuts=cuts,
        short_shots=short_shots,
    )


def _shot_ids(
    recipe: Recipe, starts: Sequence[int], cuts: Sequence[int], knows_all: bool
) -> Iterator[int]:
    """The shot of the first frame of each clip.

    Unless all cuts are known, every gap between chosen clips counts as one, and what precedes the
    first one as none.
    """
    offset, end = 0, starts[0]
    for index, start in enumerate(starts):
        shot = bisect.bisect_right(cuts, start)
        if not knows_all and (index == 0 or start > end):
            # A new shot, whatever happened since the previous clip.
            previous = bisect.bisect_left(cuts, end) + offset + 1 if index else 0
            offset = previous - shot
        yield shot + offset
        end = start + recipe.num_frames
