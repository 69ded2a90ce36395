"""Which mono tracks are the channels of one recording, and which stereo cancels itself out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.probe.streams.packets import AudioPackets
from pipeline.probe.tracks.audio_samples import AudioSample, summarize, without_cancelling
from pipeline.probe.tracks.audio_track import AudioTrack
from pipeline.probe.tracks.mono_tracks import join_mono_tracks


def track(index: int, title: str = "", language: str = "eng", layout: str = "mono") -> AudioTrack:
    return AudioTrack(index, "pcm_s16le", 1, 48_000, language, layout, title=title)


def joined(tracks: list[AudioTrack], first_pts: tuple[int, ...] = ()) -> tuple[str, str]:
    """Streams that the first track is joined with, as `1 2`, and their layout."""
    starts = first_pts or (0,) * len(tracks)
    packets = {t.index: AudioPackets(9, start, 90) for t, start in zip(tracks, starts, strict=True)}
    found = join_mono_tracks(tracks[0], tracks, packets)
    return " ".join(map(str, found.joined)), found.layout


@pytest.mark.parametrize(
    ("titles", "streams", "layout"),
    [
        ("|", "1 2", "stereo"),
        ("||", "1 2 3", "3.0"),
        ("|||||", "1 2 3 4 5 6", "5.1"),
        ("Track 1|Track 2", "1 2", "stereo"),
        ("L|R", "1 2", "stereo"),
        ("Right|Left", "2 1", "stereo"),
        ("Links|Rechts|Mitte", "1 2 3", "3.0"),
        ("Audio 1 - L|Audio 2 - R", "1 2", "stereo"),
        ("5.1 L|5.1 C|5.1 R|5.1 LFE|5.1 Ls|5.1 Rs", "1 3 2 4 5 6", "5.1"),
        ("L|R|Boom mic", "1 2", "stereo"),
        ("L|R|Ls|Rs", "1 2 3 4", ""),
        # Not as left, right and center.
        ("L|R|LFE", "1 2", ""),
        ("English|Deutsch", "", "mono"),
        ("Boom mic|L|R", "", "mono"),
        ("Left|Left", "", "mono"),
        ("L|R|L|R", "", "mono"),
    ],
)
def test_titles(titles: str, streams: str, layout: str) -> None:
    tracks = [track(number, title) for number, title in enumerate(titles.split("|"), start=1)]
    assert joined(tracks) == (streams, layout)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("title", ["", "L"])
def test_languages_are_different_recordings(count: int, title: str) -> None:
    languages = ("eng", "ger", "fre", "spa", "ita", "")
    tracks = [track(i, title and "LRC"[i % 3], language) for i, language in enumerate(languages)]
    assert joined(tracks[:count]) == ("", "mono")


def test_two_languages_of_two_channels() -> None:
    languages = ("eng", "ger", "eng", "deu")
    tracks = [track(number, "", language) for number, language in enumerate(languages)]
    assert joined(tracks) == ("0 2", "stereo")
    assert joined(tracks[1:]) == ("1 3", "stereo")


def test_channels_of_the_container_count_as_titles() -> None:
    layouts = ("1 channels (FR)", "1 channels (FL)", "1 channels (FC)")
    tracks = [track(number, "", "und", layout) for number, layout in enumerate(layouts)]
    assert joined(tracks) == ("1 0 2", "3.0")


@pytest.mark.parametrize(("starts", "streams"), [((0, 0), "1 2"), ((0, 1), ""), ((-1, 0), "")])
def test_tracks_that_start_apart_are_not_joined(starts: tuple[int, ...], streams: str) -> None:
    """Nothing would align them: one tick is a second here."""
    assert joined([track(1), track(2)], starts)[0] == streams


NOISE = np.random.default_rng(0).normal(0, 0.1, (8_000, 1))
OPPOSITE, EQUAL = NOISE * [1, -0.9], NOISE * [1, 1]
SILENT, INDEPENDENT = NOISE * [0, 0], np.random.default_rng(1).normal(0, 0.1, (8_000, 2))


def choice_of(sample: AudioSample) -> tuple[str, str]:
    stereo = AudioTrack(1, "aac", 2, 48_000, "eng", choice="only track")
    found = without_cancelling(stereo, sample)
    return found.downmix, found.choice.removeprefix("only track")


def test_opposite_polarity_in_a_part_of_a_movie() -> None:
    whole = "; left channel alone, as the two cancel each other out"
    assert choice_of(summarize([OPPOSITE] * 6)) == ("left", whole)
    assert choice_of(summarize([OPPOSITE[:, ::-1]] * 6))[0] == "right"
    assert choice_of(summarize([SILENT, OPPOSITE, SILENT])) == ("left", whole)
    part = f"{whole} in parts of it"
    assert choice_of(summarize([EQUAL, EQUAL, EQUAL, OPPOSITE, OPPOSITE, EQUAL])) == ("left", part)
    assert choice_of(summarize([SILENT, EQUAL, OPPOSITE])) == ("left", part)


def test_stereo_that_is_mixed_as_usual() -> None:
    for points in (
        [EQUAL] * 6,
        [INDEPENDENT] * 6,
        [SILENT] * 6,
        [EQUAL, EQUAL, INDEPENDENT, OPPOSITE, EQUAL, EQUAL],
        [],
    ):
        assert choice_of(summarize(points)) == ("all", "")


def test_invalid_samples_do_not_decide() -> None:
    spoiled = EQUAL.copy()
    spoiled[::2] = np.nan
    spoiled[1::4] = -np.inf
    assert not summarize([spoiled] * 6).cancels
    spoiled = OPPOSITE.copy()
    spoiled[:100] = np.inf
    assert summarize([spoiled] * 6).cancels
