"""Probes a movie: streams, timeline, keyframes, audio track.

One ffprobe lists the streams, one the timestamps of all packets; a few frames and a few seconds of
audio are decoded. How the audio is aligned with the timeline only its decoder can show: see
`audio.soundtrack`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MovieError, NoAudioStreamError, NoDecoderError, TooShortError
from pipeline.ffmpeg.binaries import decodable_codecs
from pipeline.probe.audio_choice import choose_audio
from pipeline.probe.containers import asf_header
from pipeline.probe.containers.edit_list import PlayedRange, played_ranges
from pipeline.probe.containers.entries import find_entries
from pipeline.probe.containers.following_parts import find_following_parts
from pipeline.probe.containers.one_shape import SameFrames, examine_units
from pipeline.probe.cut_off import missing_ns
from pipeline.probe.disposable.frames import NONE_DISPOSABLE, DisposableFrames, find_disposable
from pipeline.probe.disposable.stream_units import StreamUnits, read_units
from pipeline.probe.frame_headers import one_size
from pipeline.probe.other_streams import follow_moved_streams, lost_to_other_streams_ns
from pipeline.probe.streams.first_look import require_usual_rate
from pipeline.probe.streams.packets import (
    EMPTY_ORDER,
    EMPTY_TABLE,
    PacketOrder,
    Packets,
    PacketTable,
    read_packets,
)
from pipeline.probe.streams.sample_frames import Shape, no_frames, sample_frames
from pipeline.probe.streams.stream_list import InputOptions, StreamList, list_streams
from pipeline.probe.streams.video_stream import VideoStream, choose_video
from pipeline.probe.streams.video_timing import (
    Outlier,
    corrupt_ns,
    find_outliers,
    is_vfr,
    lost_to_jumps_ns,
    still_ns,
    time_frames,
)
from pipeline.probe.tracks.audio_track import (
    NO_AUDIO,
    AudioTrack,
    audio_tracks,
    choose_track,
    tracks_of_program,
)
from pipeline.sources import Movie, Readable
from shards_spec.recipe import NANOSECONDS


@dataclass(frozen=True)
class Probe:
    """What a movie consists of. Times are nanoseconds on the movie timeline."""

    video: VideoStream
    audio: AudioTrack
    start_pts: int
    """Presentation time of the first frame, ticks of the video's time base: t = 0."""
    duration_ns: int
    """From the first frame to the end of the last one."""
    keyframes_ns: tuple[int, ...]
    """Presentation times of the keyframes at which decoding may start, sorted: those with a
    presentation time at which the decoder has its configuration from the start or the keyframe."""
    is_vfr: bool
    other_audio: tuple[AudioTrack, ...] = ()
    """The tracks that were not chosen."""
    still_ns: int = 0
    """Time in which a frame stayed on screen after its first second: stills, or lost frames."""
    peak_nits: float = 0.0
    """Peak brightness of an HDR master, cd/m2; 0 if it does not say."""
    corrupt_ns: tuple[tuple[int, int], ...] = ()
    """Ranges [start, end) of groups of pictures with a packet that the container reports as
    corrupt; only for decoders that do not mark the frames whose errors they conceal."""
    lost_ns: int = 0
    """Video that is never shown: after a jump back of the clock, or in another stream."""
    outliers: tuple[Outlier, ...] = ()
    """Wrong timestamps of single frames, which are dropped."""
    needs_dts: bool = True
    """Whether some packets have a decoding time only."""
    input_options: InputOptions = ()
    """With which every ffmpeg must open the movie."""
    program: int = 0
    """Number of the program that video and audio belong to; 0 if the container has none."""
    num_programs: int = 0
    missing_ns: int = 0
    """How much of the declared duration the file lacks; 0 if it is whole."""
    shapes: tuple[Shape, ...] = ()
    """What frames look like from which time on; empty unless that changes."""
    has_one_shape: bool = False
    """Whether the stream itself proves that all frames have one size, pixel aspect and orientation.
    """
    packet_order: PacketOrder = EMPTY_ORDER
    """The video packets in the order of a sequential read."""
    container: str = ""
    """ffmpeg's name of the demuxer."""
    disposable: DisposableFrames = NONE_DISPOSABLE
    """The frames to which no other refers, if that is certain and was asked for."""
    played_audio: tuple[PlayedRange, ...] = ()
    """The ranges of the audio's media that an edit list plays; empty if ffmpeg may apply it."""

    @property
    def has_sure_times(self) -> bool:
        """Whether every frame of the file is shown at the time of its packet."""
        return not (self.outliers or self.lost_ns or self.needs_dts or self.corrupt_ns)

    @property
    def start_ns(self) -> int:
        """Container time of t = 0."""
        return round(self.start_pts * self.video.time_base * NANOSECONDS)


def probe(
    movie: Movie,
    source: Readable,
    language: str,
    *,
    finds_disposable: bool = False,
    needs_audio: bool = True,
) -> Probe:
    """Probe an open movie.

    Args:
        movie, source: the movie.
        language: the preferred one of its audio.
        finds_disposable: whether to read the headers of its frames for `Probe.disposable`.
        needs_audio: whether one without usable audio is refused, or gets `NO_AUDIO`.

    Raises the `MovieError` that fits, with the chosen streams in `known`.
    """
    known: dict[str, Any] = {}
    try:
        return _probe(movie, source, language, known, finds_disposable, needs_audio)
    except MovieError as error:
        error.known = known
        raise


def _probe(
    movie: Movie,
    source: Readable,
    language: str,
    known: dict[str, Any],
    finds_disposable: bool,
    needs_audio: bool,
) -> Probe:
    listed, packets = _list(movie, source, language, known, needs_audio)
    video = known["video"] = choose_video(movie, listed, packets, decodable_codecs())
    source.limits.check_movie(movie.name, 0, video.width, video.height)
    tracks = audio_tracks(listed, decodable_codecs())
    try:
        in_program = tracks_of_program(movie, listed, tracks, video.index)
        audio = choose_audio(movie, source, in_program, language, listed, packets)
    except (NoAudioStreamError, NoDecoderError):
        if needs_audio:
            raise
        audio = NO_AUDIO
    known["audio"] = audio
    programs = listed.programs_of(video.index)
    table = packets.video.get(video.index, EMPTY_TABLE)
    order = packets.order.get(video.index, EMPTY_ORDER)
    units = read_units(movie, source, listed, video, table, order)
    probed = _probe_video(movie, source, listed, packets, video, audio, units)
    if finds_disposable and probed.has_sure_times:
        found = find_disposable(probed.video, table, probed.packet_order, units)
        probed = replace(probed, disposable=found)
    return replace(
        probed,
        other_audio=tuple(t for t in tracks if t.index not in (audio.index, *audio.joined)),
        program=programs[0].number if programs else 0,
        num_programs=len(listed.programs),
        container=listed.container,
        input_options=listed.options,
    )


def frame_times_ns(movie: Movie, source: Readable, found: Probe) -> NDArray[np.int64]:
    """(N,) when the frames of a probed movie come on screen, by their packets; sorted."""
    video = found.video
    packets = read_packets(movie, source, found.input_options).video[video.index]
    is_wrong, _ = find_outliers(packets, video.time_base)
    pts = np.sort(packets.where(~is_wrong).pts)
    ticks = (pts[pts >= found.start_pts] - found.start_pts).astype(np.float64)
    times_ns = np.rint(ticks * float(video.time_base * NANOSECONDS)).astype(np.int64)
    # Later ones belong to parts of the file that are lost.
    return times_ns[times_ns < found.duration_ns]


def _list(
    movie: Movie, source: Readable, language: str, known: dict[str, Any], needs_audio: bool
) -> tuple[StreamList, Packets]:
    listed, decodable = list_streams(movie, source), decodable_codecs()
    # Without a usable stream there is no need to read the whole file.
    known["video"] = choose_video(movie, listed, Packets(), decodable)
    if needs_audio:
        choose_track(movie, audio_tracks(listed, decodable), language, listed.searched)
    packets = read_packets(movie, source, listed.options, listed.container)
    return follow_moved_streams(movie, source, listed, packets)


def _probe_video(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    packets: Packets,
    video: VideoStream,
    audio: AudioTrack,
    units: StreamUnits | None,
) -> Probe:
    listed_table = packets.video.get(video.index, EMPTY_TABLE)
    parts = find_following_parts(movie, source, listed, packets)
    table = parts.packets_of_movie(listed_table)
    _require_usual(movie, table, video)
    is_wrong, outliers = find_outliers(table, video.time_base)
    good = table.where(~is_wrong)
    order = packets.order.get(video.index, EMPTY_ORDER)
    same = _same_frames(movie, source, listed, packets, video, units)
    is_trimmed = len(order.pts()) > len(listed_table)
    is_plain = same.is_plain and not is_trimmed and video.index not in packets.encrypted
    sample = sample_frames(movie, source, video, good, listed.options, is_plain=is_plain)
    video = sample.apply_to(video)
    timing = time_frames(good, sample.first_pts, video.time_base, listed.end_seconds)
    tick, start = video.time_base * NANOSECONDS, int(timing.pts[0])
    lost_ns = lost_to_jumps_ns(good, video.time_base)
    lost_ns += parts.lost_in_list_ns(listed_table, video.time_base)
    # Where the clock jumps back, two packets may have one time, and a seek may end up at either.
    entries = find_entries(movie, source, listed, video, good, timing.keyframes, order, same)
    entries = entries if lost_ns == 0 else entries[:0]
    span_ns = (round(start * tick), round(timing.end_pts * tick))
    duration_ns = round((timing.end_pts - start) * tick)
    _require_duration(movie, source, video, duration_ns)
    lost_to_others_ns = lost_to_other_streams_ns(listed, packets, video, timing)
    return Probe(
        video=video,
        audio=audio,
        start_pts=start,
        duration_ns=duration_ns,
        keyframes_ns=tuple(round((int(key) - start) * tick) for key in entries),
        is_vfr=is_vfr(timing.pts),
        still_ns=still_ns(timing.pts, video.time_base),
        peak_nits=sample.peak_nits,
        corrupt_ns=corrupt_ns(good, start, video),
        lost_ns=lost_ns + parts.lost_beyond_ns + lost_to_others_ns,
        outliers=outliers,
        needs_dts=not good.has_pts.all(),
        missing_ns=missing_ns(_with_end(source, listed), packets, video, outliers, span_ns),
        packet_order=order,
        has_one_shape=same.has_one_shape,
        played_audio=played_ranges(
            movie, source, listed, good, video, audio, is_trimmed=is_trimmed
        ),
    )


def _same_frames(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    packets: Packets,
    video: VideoStream,
    units: StreamUnits | None,
) -> SameFrames:
    """What the stream proves about all of its frames; nothing if its configuration changes."""
    order = packets.order.get(video.index, EMPTY_ORDER)
    if order.num_configured != len(order.pts()):
        return SameFrames()
    if video.codec in one_size.CODECS:
        return one_size.examine_headers(source, listed, video, packets, units)
    return examine_units(source, listed.options, video.index, video.codec, movie.name, units)


def _require_duration(movie: Movie, source: Readable, video: VideoStream, duration_ns: int) -> None:
    if duration_ns <= 0:
        raise TooShortError(f"{movie.name}: the video has no duration")
    source.limits.check_movie(movie.name, duration_ns, video.width, video.height)


def _require_usual(movie: Movie, table: PacketTable, video: VideoStream) -> None:
    """Refuse a video without packets, or with more per second than any genuine movie has."""
    if not len(table):
        raise no_frames(movie, 0)
    span = float((int(table.pts.max()) - int(table.pts.min())) * video.time_base)
    require_usual_rate(movie, len(table), span)


def _with_end(source: Readable, listed: StreamList) -> StreamList:
    """The list with the end that an ASF file declares, which ffmpeg omits if it was cut off."""
    if listed.container != "asf" or listed.end_seconds:
        return listed
    return replace(listed, end_seconds=asf_header.declared_ns(source) / NANOSECONDS)
