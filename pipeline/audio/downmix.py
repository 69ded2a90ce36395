"""Any channel layout to mono, by the down-mix of ITU-R BS.775 (annex 4), never clipping.

    left, right, wide and front-of-centre pairs   0.7071      surround, side, height pairs   0.5
    centre                                        1           single back centre             0.7071
    low-frequency effects                         0

divided by their sum over the channels that are there: stereo is (L + R) / 2, and 5.1 is
(0.7071 L + 0.7071 R + C + 0.5 Ls + 0.5 Rs) / 3.414. It is written as a filter of our own, because
ffmpeg's default mix depends on the sample format of the decoder and on levels in the stream.
"""

from __future__ import annotations

from typing import Any

from pipeline.probe import AudioTrack

_HALF_POWER = 0.707107
#: Up to here ffmpeg knows the usual layout of so many channels when a stream names none.
_GUESSED_CHANNELS = 8

#: Gain of a channel before normalisation, by ffmpeg's name of it; low frequencies have none.
WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "WL", "WR", "DL", "DR", "BC"), _HALF_POWER),
    "FC": 1.0,
    **dict.fromkeys(("BL", "BR", "SL", "SR", "SDL", "SDR"), 0.5),
    **dict.fromkeys(("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TSL", "TSR"), 0.5),
}


def mono_filter(source: Any, track: AudioTrack) -> Any:
    """Append the mix of a track to a filter graph."""
    return source.filter("pan", mono_mix(track.layout, track.channels))


def mono_mix(layout: str, channels: int) -> str:
    """The `pan` filter's argument for a layout as ffprobe names it; empty when it names none.

    One mix fits all loudspeaker layouts: `pan` passes over channels that are not there, also when a
    broadcast changes its layout on the way, and `<` makes it divide by the sum of the rest.
    """
    if layout.startswith("ambisonic"):
        # The first component is the sound from all around.
        gains = ["1*c0"]
    elif layout == "binaural" or (not layout and channels > _GUESSED_CHANNELS):
        gains = [f"1*c{channel}" for channel in range(channels)]
    else:
        gains = [f"{weight}*{channel}" for channel, weight in WEIGHTS.items()]
    return "mono|c0<" + "+".join(gains)
