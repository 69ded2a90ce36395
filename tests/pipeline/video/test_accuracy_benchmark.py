"""The accuracy benchmark notices a shift by one frame or one sample, in several containers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import is_wrong, offset_samples
from benchmarks.support.pyav_reference import reference
from pipeline.audio.soundtrack import Soundtrack
from tests.support.films.media import ffmpeg
from tests.support.films.opened import source_of
from tests.support.films.oracle import clips_of, plan_of

RATE_HZ = 16_000
CLIP = 25_600
#: Ending -> encoders.
KINDS = {
    ".mp4": ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"),
    ".wmv": ("-c:v", "wmv2", "-q:v", "3", "-c:a", "wmav2"),
    ".mkv": ("-c:v", "mpeg4", "-q:v", "3", "-c:a", "libopus"),
}


@pytest.mark.parametrize(
    "suffix", [".mp4", *(pytest.param(s, marks=pytest.mark.slow) for s in (".wmv", ".mkv"))]
)
def test_a_shift_by_one_is_noticed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{suffix}"
    video = ("-f", "lavfi", "-i", "testsrc2=size=160x112:rate=25:duration=4")
    noise = ("-f", "lavfi", "-i", "anoisesrc=color=pink:seed=3:sample_rate=44100:duration=4")
    ffmpeg(*video, *noise, *KINDS[suffix], "-g", "25", path)
    plan = plan_of(path)
    truth = reference(path, plan.probe.audio.index, RATE_HZ)
    frames = [frame for _, clip in clips_of(plan).values() for frame in clip]
    times = np.arange(len(frames)) / plan.recipe.fps
    assert len(frames) == 16
    assert not any(is_wrong(frame, at, truth) for frame, at in zip(frames, times, strict=True))
    late = [is_wrong(frame, at + 0.04, truth) for frame, at in zip(frames, times, strict=True)]
    assert np.mean(late) > 0.8
    with Soundtrack(source_of(plan), plan.probe, 4_000_000_000, what=suffix) as soundtrack:
        audio = np.concatenate(list(soundtrack.chunks(RATE_HZ)))
    first = RATE_HZ // 2
    exact, shifted = (
        offset_samples(audio[first + by :][:CLIP], first, truth, 320) for by in (0, -1)
    )
    # Half a millisecond where timestamps are in milliseconds.
    assert abs(exact) < (0.1 if suffix == ".mp4" else 8)
    assert shifted - exact == pytest.approx(1, abs=0.1)
