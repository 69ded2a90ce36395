"""What ffmpeg does by itself for edit lists, checked by numbered frames and beeps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.edited import EditedAudio
from pipeline.audio.soundtrack import Soundtrack
from pipeline.audio.timeline import AudioFrame
from pipeline.probe.containers.edit_list import PlayedRange
from tests.support.films.edits import Edit, edited, set_edits
from tests.support.films.joined import HEVC
from tests.support.films.media import RATE_HZ, Film, make_film, onsets
from tests.support.films.opened import source_of
from tests.support.films.oracle import everything, judged, plan_of, source_frames

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
    # Neither frames nor packets of audio begin where the parts do.
    "three parts": [(F(2), F(3, 10)), (F(2), F(331, 100)), (F(2), F(617, 100))],
}
#: Edits whose later parts ffmpeg shifts by the delay of B-frames or to whole frames, as PyAV does.
SHIFTED = ("middle cut", "three parts")
#: In `make test`; the others are slow.
FEW = (("h264 mp4", "late start, end trimmed"), ("h264 mp4", "three parts"))


CASES = [
    pytest.param(kind, edits, marks=() if (kind, edits) in FEW else pytest.mark.slow)
    for kind in KINDS
    for edits in EDITS
    # There ffmpeg's decoder reports errors at the cut, and the clips around it are left out.
    if (kind, edits) != ("hevc mov", "middle cut")
]


@pytest.mark.parametrize(("kind", "edits"), CASES)
def test_frames_and_beeps_of_edited_movies(kind: str, edits: str, tmp_path: Path) -> None:
    suffix, video, audio = KINDS[kind]
    film = Film(seconds=SECONDS, width=96, height=64, gop=25, video=video, audio=audio)
    whole = make_film(tmp_path / f"whole{suffix}", film)
    path = set_edits(whole, tmp_path / f"film{suffix}", EDITS[edits])
    truth = source_frames(path) if edits in SHIFTED else edited(STORED, EDITS[edits])
    plan = plan_of(path)
    num_wrong, found = judged(plan, truth)
    # Of two frames of one time either may be shown.
    assert num_wrong <= len(truth) - len({time for time, _ in truth})
    assert plan.probe.missing_ns == 0
    assert plan.probe.duration_ns == pytest.approx(float(truth[-1][0]) * 1e9 + 4e7, abs=2e6)
    assert everything(plan_of(path, seconds=1.7)) == found
    with Soundtrack(source_of(plan), plan.probe, plan.probe.duration_ns, what=kind) as soundtrack:
        heard = onsets(np.concatenate(list(soundtrack.chunks(RATE_HZ))), RATE_HZ)
    # A beep begins with each flash.
    flashes = [float(time) for time, number in truth if number in film.flash_frames]
    assert heard == pytest.approx(flashes, abs=0.0005)


PLAYED = {
    "one part after another": ([(48000, 0), (48000, 96000)], 2),
    "a part twice": ([(48000, 0), (48000, 0)], 0),
    "parts in another order": ([(48000, 96000), (48000, 0)], 0),
    "of unknown length": ([(96000, 0), (0, 96000)], 0),
}


@pytest.mark.parametrize("case", PLAYED)
def test_edits_that_cannot_be_followed_are_left_to_ffmpeg(case: str, tmp_path: Path) -> None:
    edits, num_ranges = PLAYED[case]
    film = Film(seconds=4, width=96, height=64, gop=25, video=("-c:v", "mpeg4"), audio=PCM)
    whole = make_film(tmp_path / "whole.mov", film)
    parts = [(F(length, 48000), F(start, 48000)) for length, start in edits]
    path = set_edits(whole, tmp_path / "film.mov", parts)
    assert len(plan_of(path).probe.played_audio) == num_ranges


def test_frames_are_cut_to_the_sample() -> None:
    played = [
        PlayedRange(F(10, 100), F(25, 100), F(50, 100)),
        PlayedRange(F(27, 100), F(28, 100), F(80, 100)),
    ]
    cut = EditedAudio(played, 100)
    parts = [list(cut.parts(AudioFrame(pts, 10))) for pts in (0, 10, 20, 30)]
    assert parts == [
        [],
        [(0, AudioFrame(50, 10))],
        [(0, AudioFrame(60, 5)), (7, AudioFrame(80, 1))],
        [],
    ]
    unknown = AudioFrame(None, 10)
    assert list(cut.parts(unknown)) == []
    assert list(EditedAudio((), 100).parts(unknown)) == [(0, unknown)]
