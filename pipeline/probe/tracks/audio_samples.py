"""Decodes a little of an audio track to learn what its header does not say.

Two things: whether it can be decoded at all (ffmpeg may decode a codec, but not this variant of
it), and whether its two channels cancel each other out when they are added (one of them was
recorded with its polarity reversed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_stream
from pipeline.probe.streams.packets import AudioPackets
from pipeline.probe.streams.stream_list import InputOptions
from pipeline.probe.tracks.audio_track import AudioTrack, Downmix
from pipeline.sources import Movie, Readable

#: Points at which audio is decoded, spread over the track, and how much at each.
NUM_POINTS = 6
POINT_SECONDS = 1.0
#: Channels cancel each other out if less than this share of their mean power is left in the mix;
#: independent channels keep a half, equal ones all of it.
MAX_CANCELLED = 0.05
#: Channels of opposite polarity in a part of a movie count from this share of points with audio.
MIN_CANCELLED_POINTS = 1 / 3
#: Mean square below which a point counts as silent: -80 dBFS.
MIN_POWER = 1e-8

_RATE_HZ = 8_000
_POINT_BYTES = round(4 * POINT_SECONDS * _RATE_HZ) * 2 * 4


@dataclass(frozen=True)
class AudioSample:
    """What a few decoded seconds of a track contain."""

    num_samples: int
    """Of each channel."""
    power: tuple[float, float] = (0.0, 0.0)
    """Mean square of the first two channels; equal for a mono track."""
    cancelled_points: float = 0.0
    """At which share of the points with audio the two channels cancel each other out."""

    @property
    def cancels(self) -> bool:
        """Whether the two channels cancel each other out, in the whole movie or a good part."""
        return self.cancelled_points >= MIN_CANCELLED_POINTS


def sample_audio(
    movie: Movie, source: Readable, track: AudioTrack, packets: AudioPackets, options: InputOptions
) -> AudioSample:
    """Decode a second of a track at a few points of it.

    Raises `MovieError` if the source cannot be read; audio that cannot be decoded yields no
    samples.
    """
    first, last = ((packets.first_pts or 0), (packets.last_pts or 0))
    spread = np.linspace(first, last, NUM_POINTS, endpoint=False) * float(track.time_base)
    points = [_decode(movie, source, track, float(point), options) for point in np.unique(spread)]
    return summarize([point.astype(np.float64) for point in points if len(point)])


def summarize(points: Sequence[NDArray[np.float64]]) -> AudioSample:
    """The sample from the first two channels (N, 2) at each point; invalid values are silence."""
    if not points:
        return AudioSample(0)
    valid = [np.where(np.isfinite(point), point, 0.0) for point in points]
    powers = np.array([np.square(point).mean(axis=0) for point in valid])
    mixes = np.array([np.square(point.mean(axis=1)).mean() for point in valid])
    means = powers.mean(axis=1)
    is_audible = means > MIN_POWER
    cancelled = is_audible & (mixes < MAX_CANCELLED * means)
    # Points differ in length at the end of a track only.
    left, right = powers.mean(axis=0)
    return AudioSample(
        num_samples=sum(map(len, points)),
        power=(float(left), float(right)),
        cancelled_points=float(cancelled.sum() / max(1, is_audible.sum())),
    )


def without_cancelling(track: AudioTrack, sample: AudioSample) -> AudioTrack:
    """The track, downmixed so that its channels do not cancel each other out."""
    if track.channels != 2 or not sample.cancels:
        return track
    left, right = sample.power
    channel: Downmix = "left" if left >= right else "right"
    where = "" if sample.cancelled_points == 1 else " in parts of it"
    choice = f"{track.choice}; {channel} channel alone, as the two cancel each other out{where}"
    return replace(track, downmix=channel, choice=choice)


def _decode(
    movie: Movie, source: Readable, track: AudioTrack, seconds: float, options: InputOptions
) -> NDArray[np.float32]:
    """(N, 2) float32: the first two channels from a point of container time on."""
    where = {"seek_timestamp": 1, "ss": f"{seconds:.6f}", "t": POINT_SECONDS, "threads": 1}
    opened = input_stream(source, **dict(options), **where)
    channels = track.joined[:2] or (track.index,)
    streams = [opened[str(index)] for index in channels]
    mixed = streams[0] if len(streams) == 1 else ffmpeg.filter(streams, "amerge", inputs=2)
    last = min(track.channels, 2) - 1
    mixed = mixed.filter("pan", f"stereo|c0<c0|c1<c{last}").filter("aresample", _RATE_HZ)
    output = ffmpeg.output(mixed, "pipe:1", format="f32le")
    output = output.global_args("-nostdin", "-v", "level+error")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    what = f"{movie.name}, audio stream {track.index}"
    data = bytearray()
    with FfmpegProcess(command, source, what=what) as process:
        # By its timestamps, a track may be a second long without an end to its samples.
        while len(data) < _POINT_BYTES and (block := process.read_some(1 << 16)):
            data += block
        if len(data) < _POINT_BYTES:
            process.wait()
    return np.frombuffer(bytes(data[:_POINT_BYTES]), "<f4").reshape(-1, 2)
