"""Mono tracks that are the channels of one recording, as cameras and editing systems store them.

Such tracks agree in codec, sample rate, language and time; and their titles, if
they have any, are names of channels. They are joined to one track.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.probe.audio_track import AudioTrack
from pipeline.probe.packets import AudioPackets
from pipeline.probe.tracks.languages import language_code

#: Layouts of so many channels in the usual order of tracks, by ffmpeg's names.
LAYOUTS = {2: "stereo", 3: "3.0", 6: "5.1", 8: "7.1"}
#: Joined tracks start and end within this time of each other.
MAX_DIFFERENCE_SECONDS = 0.5

#: Channels in the order of these layouts, and how titles name them.
_TITLES = {
    "FL": r"l|left|front left|fl|lf",
    "FR": r"r|right|front right|fr|rf",
    "FC": r"c|center|centre|front cent(er|re)|fc",
    "LFE": r"lfe|sub|subwoofer|low frequency( effects)?",
    "BL": r"ls|left surround|surround left|rear left|bl|lb",
    "BR": r"rs|right surround|surround right|rear right|br|rb",
}
_CHANNEL_OF_LAYOUT = re.compile(r"1 channels \((\w+)\)")
#: What remains of a title that says no more than a number.
_NUMBERED = re.compile(r"(audio|track|channel|ch|mono|a|stream)?[ _#-]*\d*", re.IGNORECASE)


def join_mono_tracks(
    chosen: AudioTrack, tracks: Sequence[AudioTrack], packets: Mapping[int, AudioPackets]
) -> AudioTrack:
    """The chosen track, joined with the mono tracks that belong to it, if there are any."""
    if chosen.channels != 1 or chosen.special or not chosen.is_decodable:
        return chosen
    family = [track for track in tracks if _belongs(chosen, track, packets)]
    names = [_channel(track) for track in family]
    if len(family) < 2:
        return chosen
    if all(names) and len(set(names)) == len(names):
        family = [track for _, track in sorted(zip(names, family, strict=True), key=_by_channel)]
    elif not _are_unnamed(family):
        return chosen
    joined = tuple(track.index for track in family)
    layout = LAYOUTS.get(len(family), "")
    as_layout = f" as {layout}" if layout else ""
    words = ", ".join(map(str, joined))
    return replace(
        chosen,
        index=joined[0],
        channels=len(family),
        layout=layout,
        joined=joined,
        choice=f"{chosen.choice}; {len(family)} mono tracks joined{as_layout}: streams {words}",
    )


def _belongs(chosen: AudioTrack, track: AudioTrack, packets: Mapping[int, AudioPackets]) -> bool:
    """Whether a track agrees with the chosen one in all but its title."""

    def kind(track: AudioTrack) -> tuple[object, ...]:
        return (
            track.codec,
            track.channels,
            track.sample_rate_hz,
            language_code(track.language),
            track.special,
            track.is_decodable,
        )

    one, other = packets.get(chosen.index), packets.get(track.index)
    if kind(track) != kind(chosen) or one is None or other is None:
        return False
    ends = ((one.first_pts, other.first_pts), (one.last_pts, other.last_pts))
    return all(
        mine is not None
        and theirs is not None
        and abs(mine * chosen.time_base - theirs * track.time_base) <= MAX_DIFFERENCE_SECONDS
        for mine, theirs in ends
    )


def _channel(track: AudioTrack) -> str:
    """The channel that a track's title or layout names; empty if none."""
    match = _CHANNEL_OF_LAYOUT.fullmatch(track.layout)
    if match:
        return match.group(1)
    title = track.title.strip().lower().replace("_", " ").replace("-", " ")
    return next((c for c, names in _TITLES.items() if re.fullmatch(names, title)), "")


def _by_channel(named: tuple[str, AudioTrack]) -> tuple[int, int]:
    order = list(_TITLES)
    name, track = named
    return (order.index(name) if name in order else len(order), track.index)


def _are_unnamed(family: Sequence[AudioTrack]) -> bool:
    """Whether titles tell the tracks apart by no more than numbers."""
    titles = {track.title.strip() for track in family}
    return len(titles) == 1 or all(_NUMBERED.fullmatch(title) for title in titles)
