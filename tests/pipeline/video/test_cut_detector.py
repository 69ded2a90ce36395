"""Cuts: found where they are, and counted in clips, wherever segments are split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenedetect import ContentDetector, FrameTimecode

from pipeline.video.cut_detector import CutDetector
from shards_spec.recipe import Recipe
from tests.support.films.oracle import clip_rows, plan_of
from tests.support.films.shots import CUTS, make_shots
from tests.support.samples import mostly_slow

UNIFORM = Recipe(num_frames=8, short_side=112, crop_bars=False, frozen_motion=0.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shots(tmp_path_factory.mktemp("shots") / "film.mp4")


@pytest.mark.parametrize("seconds", mostly_slow([1000.0, 3.0, 1.7], (1.7,)))
def test_cuts_are_counted_wherever_segments_are_cut(film: Path, seconds: float) -> None:
    rows, _ = clip_rows(plan_of(film, UNIFORM, seconds))
    starts = [row.start_ns / 1e9 for row in rows]
    assert starts == pytest.approx([1.6 * i for i in range(12)])
    # A frame belongs to the shot that it starts; the last frame of a clip is 1.4 s after
    # its first.
    shots = [sum(cut <= start + 1e-6 for cut in CUTS) for start in starts]
    last = [sum(cut <= start + 1.4 + 1e-6 for cut in CUTS) for start in starts]
    assert [row.shot_id for row in rows] == shots
    assert [row.num_cuts for row in rows] == [b - a for a, b in zip(shots, last, strict=True)]


def test_the_detector_depends_only_on_the_previous_frame() -> None:
    """Started at any frame, it decides the same for all later frames."""
    levels = [20, 20, 220, 220, 30, 30, 25, 230]
    frames = [np.full((16, 16, 3), level, np.uint8) for level in levels]
    for first in range(len(frames) - 1):
        detector = CutDetector(threshold=27.0)
        found = [detector.is_cut(frame) for frame in frames[first:]]
        changes = np.abs(np.diff(levels[first:])) > 100
        assert found[1:] == changes.tolist()


def test_it_decides_as_pyscenedetect_does() -> None:
    rng = np.random.default_rng(0)
    frames = [np.full((48, 86, 3), 128, np.uint8)]
    for _ in range(300):
        change = rng.normal(0, 10 ** rng.uniform(0, 2), frames[-1].shape)
        frames.append(np.clip(frames[-1] + change, 0, 255).astype(np.uint8))
    for threshold in (10.0, 27.0, 60.0):
        ours, theirs = CutDetector(threshold), ContentDetector(threshold, min_scene_len=0)
        times = [FrameTimecode(number, 5.0) for number in range(len(frames))]
        expected = [
            bool(theirs.process_frame(time, frame[..., ::-1]))
            for time, frame in zip(times, frames, strict=True)
        ]
        assert [ours.is_cut(frame) for frame in frames] == expected
        assert 0 < sum(expected) < len(frames)
