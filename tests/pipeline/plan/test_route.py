"""Which parts of a movie are decoded if its recipe wants few clips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Seeks
from pipeline.plan import place_clips
from pipeline.plan.cut_context import settles_cuts
from pipeline.plan.movie_plan import MoviePlan, plan_movie
from pipeline.plan.shots import merge_close_cuts
from pipeline.probe import Probe
from pipeline.probe.streams.packets import PacketOrder
from pipeline.probe.tracks.audio_track import AudioTrack
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films.probed import MOVIE, VIDEO

FEW = Recipe(clips_per_movie=6)


def planned(
    recipe: Recipe = FEW,
    seeks: Seeks = "auto",
    *,
    minutes: float = 10.0,
    group_seconds: float = 4.0,
    segment_seconds: float = 300.0,
    start_seconds: float = 0.0,
) -> MoviePlan:
    """The plan of a movie with a keyframe every `group_seconds`."""
    ticks = np.arange(round(minutes * 60 * 24), dtype=np.int64) * 3750
    keys = np.arange(0.0, minutes * 60, group_seconds)
    probe = Probe(
        video=VIDEO,
        audio=AudioTrack(1, "aac", 2, 48_000, ""),
        start_pts=0,
        duration_ns=round(minutes * 60 * NANOSECONDS),
        keyframes_ns=tuple(round(float(key) * NANOSECONDS) for key in keys),
        is_vfr=False,
        packet_order=PacketOrder.of(ticks.tolist(), len(ticks)),
    )
    return plan_movie(
        movie=replace(MOVIE, start_seconds=start_seconds),
        source_fingerprint="",
        recipe=recipe,
        probe=probe,
        crop=None,
        frame_size=(128, 224),
        segment_seconds=segment_seconds,
        seeks=seeks,
    )


def _decoded(plan: MoviePlan) -> list[tuple[int, int]]:
    """Steps of the spans that are decoded, as far as clips need them."""
    spans = [span for segment in plan.segments for span in plan.spans_of(segment)]
    return [(s.first_step, s.end_step if s.stop_step is None else s.stop_step) for s in spans]


def test_seeks_for_few_clips_and_one_pass_for_many() -> None:
    routes = {
        count: planned(Recipe(clips_per_movie=count)).route.name for count in (0, 1, 20, 160, 500)
    }
    assert routes == {0: "pass", 1: "seeks", 20: "seeks", 160: "pass", 500: "pass"}
    assert planned(seeks="never").route.name == "pass"
    assert planned(Recipe(clips="shots", clips_per_movie=1), "always").route.name == "pass"
    one_key = planned(Recipe(clips_per_movie=1), "always", group_seconds=1e6)
    assert one_key.route.name == "pass", "there is nothing to seek to"


def test_the_cheaper_route_is_predicted() -> None:
    seeks, one_pass = planned(), planned(seeks="never")
    assert seeks.route.pass_seconds == one_pass.route.pass_seconds
    assert one_pass.route.predicted_seconds == one_pass.route.pass_seconds
    # 14,400 frames of 2 megapixels; 6 clips of 3.2 s, each entered at most 4.4 s early.
    assert 60 < one_pass.route.predicted_seconds < 120
    assert 1 < seeks.route.predicted_seconds < 8
    dense = Recipe(num_frames=4, clips_per_movie=0.4)
    assert planned(dense, group_seconds=0.5).route.name == "pass", "hundreds of starts cost more"
    forced = planned(dense, "always", group_seconds=0.5)
    assert forced.route.name == "seeks"
    assert forced.route.predicted_seconds > forced.route.pass_seconds


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 20),
    group_seconds=st.sampled_from([0.5, 2.0, 4.0, 10.4, 60.0]),
    segment_seconds=st.sampled_from([1.0, 7.0, 30.0, 300.0]),
    start_seconds=st.sampled_from([0.0, 61.7]),
    overlap=st.sampled_from([0, 12]),
)
def test_all_chosen_clips_are_decoded_in_any_segments(
    count: int, group_seconds: float, segment_seconds: float, start_seconds: float, overlap: int
) -> None:
    recipe = Recipe(clips_per_movie=count, overlap_frames=overlap)
    options: dict[str, Any] = {
        "minutes": 3.0,
        "group_seconds": group_seconds,
        "start_seconds": start_seconds,
    }
    plan = planned(recipe, "always", segment_seconds=segment_seconds, **options)
    edges = [segment.first_step for segment in plan.segments] + [plan.end_step]
    assert edges == sorted(edges)
    assert edges[0] == plan.first_step
    assert [segment.end_step for segment in plan.segments] == edges[1:]
    assert all(plan.spans_of(segment) for segment in plan.segments)
    steps = {step for first, end in _decoded(plan) for step in range(first, end)}
    placed = place_clips(plan, ())
    for start in placed.starts:
        assert steps >= set(range(start, start + 16))
    one = planned(recipe, "always", segment_seconds=1e6, **options)
    assert _decoded(plan) == _decoded(one)
    # Spans are those of one pass.
    whole = planned(recipe, "never", **options)
    ends = {span.end_step for segment in whole.segments for span in whole.spans_of(segment)}
    spans = [span for segment in plan.segments for span in plan.spans_of(segment)]
    assert ends >= {span.end_step for span in spans}
    assert all((span.stop_step or 0) <= span.end_step for span in spans)


def test_clips_keep_their_numbers() -> None:
    few, every = place_clips(planned(), ()), place_clips(planned(Recipe()), ())
    assert (len(every.numbers), every.num_not_chosen) == (187, 0)
    assert (len(few.numbers), few.num_not_chosen) == (6, 181)
    for number in few.numbers:
        assert few.clip_start_ns(number) == every.clip_start_ns(number)
    assert few.clips_end_step == every.clips_end_step == 187 * 16
    # The first whole clip after 61.7 s is number 20, at 64 s.
    later = place_clips(planned(Recipe(clips_per_movie=1000), start_seconds=61.7), ())
    assert later.numbers == tuple(range(20, 187))


def test_shots_of_few_clips() -> None:
    """A gap counts as one cut; clips without a gap are numbered as always."""
    recipe = Recipe(num_frames=5, clips_per_movie=5)
    plan = planned(recipe, minutes=0.25)
    assert (plan.first_step, plan.end_step) == (0, 75)
    cuts = [7, 12, 30, 41, 60]
    placed = place_clips(plan, cuts)
    gaps = [b - a > 5 for a, b in zip(placed.starts, placed.starts[1:], strict=False)]
    assert all(gaps)
    inside = [sum(a < cut < a + 5 for cut in cuts) for a in placed.starts]
    assert list(placed.shot_ids) == [sum(inside[:n]) + n for n in range(len(inside))]
    every = place_clips(planned(Recipe(num_frames=5, clips_per_movie=15), minutes=0.25), cuts)
    assert every.shot_ids == tuple(sum(cut <= start for cut in cuts) for start in range(0, 75, 5))


@given(
    cuts=st.sets(st.integers(0, 40)), first_known=st.integers(0, 15), fps=st.sampled_from([5, 12])
)
def test_settled_cuts_do_not_depend_on_unknown_ones(
    cuts: set[int], first_known: int, fps: int
) -> None:
    recipe = Recipe(fps=fps)
    known = sorted(cut for cut in cuts if cut >= first_known)
    clips = (first_known + 4, first_known + 20)

    def kept(all_cuts: list[int]) -> list[int]:
        return [cut for cut in merge_close_cuts(all_cuts, recipe) if clips[0] < cut < clips[1]]

    if settles_cuts(recipe, clips, first_known, known):
        assert kept(known) == kept(sorted(cuts))


@pytest.mark.parametrize(
    ("cuts", "is_settled"),
    [([], True), ([10], True), ([1, 12], True), ([1, 3, 5], False), ([2], True), ([1, 3], False)],
)
def test_cuts_close_to_the_first_known_step(cuts: list[int], is_settled: bool) -> None:
    """A shot has at least 3 steps. A cut before step 0 may be at -1 or -2."""
    assert settles_cuts(Recipe(), (2, 20), 0, cuts) == is_settled
