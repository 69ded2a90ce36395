"""At which keyframes of a movie a run of the decoder may enter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.containers import parameter_sets
from pipeline.probe.containers.one_shape import SameFrames
from pipeline.probe.streams.configurations import configured_keyframes, is_in_band
from pipeline.probe.streams.packets import PacketOrder, PacketTable
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Movie, Readable


def find_entries(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    video: VideoStream,
    packets: PacketTable,
    keyframes: NDArray[np.int64],
    order: PacketOrder,
    same: SameFrames,
) -> NDArray[np.int64]:
    """(K,) the keyframes, times in ticks, at which the decoder has the configuration it needs."""
    keyframes = keyframes[order.is_configured_at(keyframes)]
    # Of 4:4:4, ffmpeg's decoder also remembers which encoder made it.
    is_444 = "444" in video.pixel_format or "gbr" in video.pixel_format
    if len(keyframes) < 2 or (same.are_configured_once and not is_444):
        return keyframes
    options, index = listed.options, video.index
    if video.codec in parameter_sets.CODECS:
        configured = parameter_sets.keyframes_with_sets(
            movie, source, options, index, video.codec, video.pixel_format
        )
        return keyframes[np.isin(keyframes, configured)]
    if not is_in_band(video.codec):
        return keyframes
    positions = None
    if video.codec == "mpeg4":
        positions = dict(zip(packets.pts.tolist(), packets.position.tolist(), strict=True))
    configured = configured_keyframes(movie, source, options, index, positions)
    return keyframes[np.isin(keyframes, configured)]
