"""Mono tracks that are the channels of one recording, as cameras and editing systems store them.

Such tracks agree in codec, sample rate, language and time; and their titles, if
they have any, are names of channels. They are joined to one track.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.probe.streams.packets import AudioPackets
from pipeline.probe.tracks.audio_track import AudioTrack
from pipeline.probe.tracks.languages import language_code

#: Layouts of so many channels in the usual order of tracks, by ffmpeg's names.
LAYOUTS = {2: "stereo", 3: "3.0", 6: "5.1", 8: "7.1"}
#: Joined tracks start within this time of each other: containers round times to a millisecond, and
#: nothing aligns the channels later.
MAX_START_DIFFERENCE_SECONDS = 0.002
#: And they end within this time of each other.
MAX_END_DIFFERENCE_SECONDS = 0.5

#: Channels in the order of these layouts, and how titles name them.
_TITLES = {
    "FL": r"l|left|front left|left front|fl|lf|links|gauche|izquierd[ao]|sinistr[ao]",
    "FR": r"r|right|front right|right front|fr|rf|rechts|droite|derech[ao]|destr[ao]",
    "FC": r"c|center|centre|front cent(er|re)|fc|cf|mitte|centrale?|centro",
    "LFE": r"lfe|sub|subwoofer|low frequency( effects)?",
    "BL": r"ls|left (surround|rear|back)|(surround|rear|back) left|[bsr]l|l[br]",
    "BR": r"rs|right (surround|rear|back)|(surround|rear|back) right|[bsr]r|rb|rr",
    "SL": r"lss|side left|left side|left side surround",
    "SR": r"rss|side right|right side|right side surround",
}
#: What may surround such a name: "Audio 1 - L", "5.1 Left", "Left channel".
_AROUND = r"((audio|mono|stereo|mix|track|channel|ch|a|[57] 1|\d+) )*({})( (channel|mono))?"
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
    if _channel(chosen):
        family, layout = _named_family(family)
    elif _are_unnamed(family):
        layout = LAYOUTS.get(len(family), "")
    else:
        return chosen
    joined = tuple(track.index for track in family)
    if len(family) < 2 or chosen.index not in joined:
        return chosen
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


def _named_family(tracks: Sequence[AudioTrack]) -> tuple[list[AudioTrack], str]:
    """The tracks that name a channel, in the usual order, and their layout; tracks such as a boom
    microphone's are left out. None where two tracks name the same channel.
    """
    order = list(_TITLES)
    named = [(name, track) for track in tracks if (name := _channel(track)) in order]
    names = sorted({name for name, _ in named}, key=order.index)
    if len(names) < len(named):
        return [], ""
    layout = LAYOUTS.get(len(names), "")
    if names != order[: len(names)]:
        # Without a layout all channels have the same weight, which low frequencies must not have.
        layout, names = "", [name for name in names if name != "LFE"]
    return [track for name in names for other, track in named if other == name], layout


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
    limits = (MAX_START_DIFFERENCE_SECONDS, MAX_END_DIFFERENCE_SECONDS)
    ends = ((one.first_pts, other.first_pts), (one.last_pts, other.last_pts))
    return all(
        mine is not None
        and theirs is not None
        and abs(mine * chosen.time_base - theirs * track.time_base) <= limit
        for (mine, theirs), limit in zip(ends, limits, strict=True)
    )


def _channel(track: AudioTrack) -> str:
    """The channel that a track's title or layout names; empty if none."""
    match = _CHANNEL_OF_LAYOUT.fullmatch(track.layout)
    if match:
        return match.group(1)
    title = re.sub(r"[\s_.:()-]+", " ", track.title.lower()).strip()
    return next((c for c, names in _TITLES.items() if _is_titled(title, names)), "")


def _is_titled(title: str, names: str) -> bool:
    return re.fullmatch(_AROUND.format(names), title) is not None


def _are_unnamed(family: Sequence[AudioTrack]) -> bool:
    """Whether titles tell the tracks apart by no more than numbers."""
    titles = {track.title.strip() for track in family}
    return len(titles) == 1 or all(_NUMBERED.fullmatch(title) for title in titles)
