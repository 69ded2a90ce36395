"""Finds spans that have to be decoded only because cuts in them may affect those inside of clips.

`merge_close_cuts` keeps or leaves out a cut because of the ones before it. Where a movie is decoded
around chosen clips only, cuts just before a decoded part are unknown, and may matter:

    cuts      |  |    |  |      closer together than a shot can be
    kept      |       |         because the first one was kept
    decoded      [============  without it the second and the fourth would be
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Span
from pipeline.plan.shots import MIN_SHOT_SECONDS, merge_close_cuts
from shards_spec.recipe import Recipe


def spans_for_cuts(plan: MoviePlan, known: Iterable[tuple[range, Iterable[int]]]) -> list[Span]:
    """Spans before decoded parts, in order; none if all cuts inside of clips are settled.

    Args:
        plan: of the movie; nothing is missing if it is decoded in one pass.
        known: (steps, cuts) of decoded spans, in order.
    """
    if not plan.route.used:
        return []
    missing = []
    for steps, cuts in _joined(known):
        if steps.start == plan.first_step:
            continue
        clips = [clip for clip in plan.route.used if steps.start <= clip[0] < steps.stop]
        if not all(settles_cuts(plan.recipe, clip, steps.start, cuts) for clip in clips):
            missing.append(plan.span_before(steps.start))
    return missing


def settles_cuts(
    recipe: Recipe, steps: tuple[int, int], first_known: int, cuts: Sequence[int]
) -> bool:
    """Whether cuts from `first_known` on settle which of those within some clips are kept.

    Args:
        steps: [first, end) of clips in a row; a cut at the first step is outside.
        first_known: first step of which it is known whether there is a cut, at most `steps[0]`.
        cuts: all cuts from there on.
    """
    first, end = steps

    def kept(before: Sequence[int]) -> list[int]:
        return [cut for cut in merge_close_cuts([*before, *cuts], recipe) if first < cut < end]

    reach = ceil(MIN_SHOT_SECONDS * recipe.fps)
    certain = kept(())
    return all(kept((first_known - back,)) == certain for back in range(1, reach))


def _joined(known: Iterable[tuple[range, Iterable[int]]]) -> list[tuple[range, list[int]]]:
    """The same with spans joined that have no gap between them."""
    joined: list[tuple[range, list[int]]] = []
    for steps, cuts in known:
        if joined and joined[-1][0].stop == steps.start:
            before, others = joined[-1]
            joined[-1] = (range(before.start, steps.stop), [*others, *cuts])
        else:
            joined.append((steps, list(cuts)))
    return joined
