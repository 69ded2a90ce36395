"""What ffmpeg does by itself for edit lists, checked by numbered frames and beeps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.soundtrack import Soundtrack
from tests.support.films.edits import Edit, edited, set_edits
from tests.support.films.joined import HEVC
from tests.support.films.media import RATE_HZ, Film, make_film, onsets
from tests.support.films.opened import source_of
from tests.support.films.oracle import everything, judged, plan_of

PCM, ALAC = ("-c:a", "pcm_s16le"), ("-c:a", "alac")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-pix_fmt", "yuv420p")
SECONDS = 9
STORED = [(Fraction(number, 25), number) for number in range(25 * SECONDS)]
#: Name -> (ending, encoders).
KINDS = {
    "h264 mp4": (".mp4", X264, ("-c:a", "aac")),
    "hevc mov": (".mov", HEVC, ALAC),
    "mpeg4 mov": (".mov", ("-c:v", "mpeg4", "-q:v", "3"), PCM),
    "prores mov": (".mov", ("-c:v", "prores_ks", "-profile:v", "0"), PCM),
}
F = Fraction
#: The first frame of a part need not be a keyframe.
EDITS: dict[str, list[Edit]] = {
    "start trimmed": [(F(6), F(11, 5))],
    "late start, end trimmed": [(F(3, 2), None), (F(7), F(0))],
    "middle cut": [(F(3), F(0)), (F(4), F(116, 25))],
}


CASES = [
    pytest.param(kind, edits, marks=() if kind == "h264 mp4" else pytest.mark.slow)
    for kind in KINDS
    for edits in EDITS
    # Here ffmpeg shifts later parts by the delay of B-frames, and so does PyAV.
    if edits != "middle cut" or kind in ("mpeg4 mov", "prores mov")
]


@pytest.mark.parametrize(("kind", "edits"), CASES)
def test_frames_and_beeps_of_edited_movies(kind: str, edits: str, tmp_path: Path) -> None:
    suffix, video, audio = KINDS[kind]
    film = Film(seconds=SECONDS, width=96, height=64, gop=25, video=video, audio=audio)
    whole = make_film(tmp_path / f"whole{suffix}", film)
    path = set_edits(whole, tmp_path / f"film{suffix}", EDITS[edits])
    plan, truth = plan_of(path), edited(STORED, EDITS[edits])
    num_wrong, found = judged(plan, truth)
    assert num_wrong == 0
    assert plan.probe.missing_ns == 0
    assert plan.probe.duration_ns == pytest.approx(float(truth[-1][0]) * 1e9 + 4e7, abs=2e6)
    assert everything(plan_of(path, seconds=1.7)) == found
    with Soundtrack(source_of(plan), plan.probe, plan.probe.duration_ns, what=kind) as soundtrack:
        heard = onsets(np.concatenate(list(soundtrack.chunks(RATE_HZ))), RATE_HZ)
    # A beep begins with each flash. Parts after the first begin with a whole packet of audio.
    flashes = [float(time) for time, number in truth if number in film.flash_frames]
    assert len(heard) == len(flashes)
    slack = [0.002 if time < 3 or edits != "middle cut" else 0.03 for time in flashes]
    assert all(
        abs(one - other) < most for one, other, most in zip(heard, flashes, slack, strict=True)
    )
