"""Downmixes any channel layout to mono as ITU-R BS.775 (annex 4) does; the mix never clips.

    left, right, wide and front-of-center pairs   0.7071      surround, side, height pairs   0.5
    center                                        1           single back center             0.7071
    low-frequency effects                         0

divided by their sum over the channels that exist: stereo is (L + R) / 2, and 5.1 is
(0.7071 L + 0.7071 R + C + 0.5 Ls + 0.5 Rs) / 3.414. The mix is an explicit `pan` filter, because
ffmpeg's default mix depends on the decoder's sample format and on levels stored in the stream.
"""

from __future__ import annotations

from typing import Any

from pipeline.probe.tracks.audio_track import AudioTrack

_HALF_POWER = 0.707107
#: Largest channel count for which ffmpeg assumes a usual layout if a stream names none.
_GUESSED_CHANNELS = 8

#: Channels of joined mono tracks, see `probe.mono_tracks`.
_CHANNEL_ORDER = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")

#: Gain of a channel before normalization, by ffmpeg's channel name; low frequencies have none.
WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "WL", "WR", "DL", "DR", "BC"), _HALF_POWER),
    "FC": 1.0,
    **dict.fromkeys(("BL", "BR", "SL", "SR", "SDL", "SDR"), 0.5),
    **dict.fromkeys(("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TSL", "TSR"), 0.5),
}


def mono_filter(source: Any, track: AudioTrack) -> Any:
    """Append the downmix of a track to a filter graph that carries its channels."""
    if track.downmix != "all":
        return source.filter("pan", f"mono|c0<c{('left', 'right').index(track.downmix)}")
    if track.joined:
        return source.filter("pan", joined_mix(track.layout, track.channels))
    return source.filter("pan", mono_mix(track.layout, track.channels))


def joined_mix(layout: str, channels: int) -> str:
    """The `pan` filter's argument for mono tracks that were joined, in the order of `layout`.

    Without a layout all channels have the same weight.
    """
    names = _CHANNEL_ORDER[:channels] if layout else ()
    weights = [WEIGHTS.get(name, 0.0) for name in names] or [1] * channels
    return "mono|c0<" + "+".join(f"{weight}*c{place}" for place, weight in enumerate(weights))


def mono_mix(layout: str, channels: int) -> str:
    """The `pan` filter's argument for a layout as ffprobe names it; empty if it names none.

    One mix fits all loudspeaker layouts: `pan` ignores channels that do not exist, also when a
    broadcast changes its layout midway, and `<` divides by the sum of the remaining gains.
    """
    if layout.startswith("ambisonic"):
        # The first component is the omnidirectional sound.
        gains = ["1*c0"]
    elif channels == 1:
        # Also if that is a low-frequency channel: there is nothing else to hear.
        gains = ["1*c0"]
    elif layout == "binaural" or (not layout and channels > _GUESSED_CHANNELS):
        gains = [f"1*c{channel}" for channel in range(channels)]
    else:
        gains = [f"{weight}*{channel}" for channel, weight in WEIGHTS.items()]
    return "mono|c0<" + "+".join(gains)
