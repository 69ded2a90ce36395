"""Which audio track of a movie is used, and why.

In this order: tracks that can be decoded; main tracks before commentary, description and other
special ones; the requested language; the default disposition; most channels; the first. Only tracks
of the video's program count. A corpus manifest may name the track.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from pipeline.errors import NoAudioStreamError, NoDecoderError
from pipeline.probe.streams.stream_list import StreamList, is_audible
from pipeline.probe.tracks.languages import language_code
from pipeline.probe.tracks.special_tracks import special_kind
from pipeline.sources import Movie

#: Handler names that muxers write by themselves.
_SOFTWARE = re.compile(r"handler|core media|gpac|mainconcept|apple|isomedia|google", re.IGNORECASE)

#: How channels become one: the usual downmix, or one channel of two that cancel each other out.
Downmix = Literal["all", "left", "right"]


@dataclass(frozen=True)
class AudioTrack:
    """An audio stream of a container, or several mono streams that belong together."""

    index: int
    """Of the stream; of several, the first."""
    codec: str
    channels: int
    sample_rate_hz: int
    language: str
    """As tagged; often empty or `und`."""
    layout: str = ""
    """Channel layout as ffmpeg names it; empty if the stream does not say."""
    time_base: Fraction = Fraction(1)
    """Seconds per tick of its packets."""
    title: str = ""
    is_default: bool = False
    has_times: bool = True
    """Whether any of its packets has a timestamp."""
    special: str = ""
    """What kind of special track it is; empty for a main one."""
    choice: str = ""
    """Why it was chosen; empty for those that were not."""
    is_decodable: bool = True
    """Whether this ffmpeg can decode it, as far as is known."""
    joined: tuple[int, ...] = ()
    """Indexes of the mono streams that are the channels of this track, in the order of `layout`;
    empty for a single stream."""
    downmix: Downmix = "all"


#: The track of a movie without audio, where that is accepted.
NO_AUDIO = AudioTrack(-1, "", 0, 0, "", choice="no audio", is_decodable=False)


def audio_tracks(listed: StreamList, decodable: frozenset[str]) -> list[AudioTrack]:
    """The audio streams with known parameters; `decodable` are the codecs ffmpeg can decode."""
    return [_track(s, decodable) for s in listed.of_type("audio") if is_audible(s)]


def tracks_of_program(
    movie: Movie, listed: StreamList, tracks: Sequence[AudioTrack], video_index: int
) -> list[AudioTrack]:
    """The tracks that share a program with the video; all if the container has no programs.

    Where there are none, tracks that no program claims. A track that the corpus names may belong to
    any program.

    Raises `NoAudioStreamError` if only other programs have audio.
    """
    programs = listed.programs_of(video_index)
    if not programs or movie.audio_track >= 0:
        return list(tracks)
    shared = [t for t in tracks if any(t.index in program.streams for program in programs)]
    unclaimed = [t for t in tracks if not listed.programs_of(t.index)]
    if tracks and not shared and not unclaimed:
        numbers = ", ".join(str(program.number) for program in programs)
        raise NoAudioStreamError(
            f"{movie.name}: program {numbers}, which the video belongs to, has no audio stream; "
            "choose another program by the `program` column of a corpus manifest, or a stream of "
            f"another program ({', '.join(str(t.index) for t in tracks)}) by `audio_track`"
        )
    return shared or unclaimed


def choose_track(
    movie: Movie, tracks: Sequence[AudioTrack], language: str, searched: str = "5 s"
) -> AudioTrack:
    """The track to use, with the reason in `choice`.

    Args:
        movie: its `audio_track`, if set, is the choice; its `language` overrides `language`.
        tracks: of its file.
        language: preferred for the whole corpus; may be empty.
        searched: how far the file was read to find streams, in words.

    Raises:
        NoAudioStreamError: there is none, or the one that the movie names is not an audio stream.
        NoDecoderError: none can be decoded.
    """
    if not tracks:
        raise NoAudioStreamError(
            f"{movie.name}: no audio stream in its first {searched}; audio-visual clips need "
            "one: remove the file from the corpus, or add an audio track"
        )
    if movie.audio_track >= 0:
        return _named_track(movie, tracks)
    requested = language_code(movie.language or language)
    ranked = sorted(tracks, key=lambda track: _rank(track, requested), reverse=True)
    best = ranked[0]
    if not best.is_decodable:
        codecs = ", ".join(sorted({track.codec for track in tracks}))
        raise NoDecoderError(
            f"{movie.name}: this ffmpeg cannot decode any of its audio tracks ({codecs}); set "
            "FFMPEG_BINARY and FFPROBE_BINARY to a build that can"
        )
    return replace(best, choice=_reason(best, ranked[1:], requested))


def without_times(track: AudioTrack) -> AudioTrack:
    """The chosen track, none of whose packets has a timestamp: it is taken to start at t = 0."""
    choice = f"{track.choice}; without timestamps, so it starts with the video"
    return replace(track, choice=choice, has_times=False)


def _track(stream: dict[str, Any], decodable: frozenset[str]) -> AudioTrack:
    tags = {str(key).lower(): str(value) for key, value in stream.get("tags", {}).items()}
    dispositions = stream.get("disposition", {})
    # MP4 keeps a track's title in its handler name, among names of software.
    title, handler = tags.get("title", ""), tags.get("handler_name", "")
    language = tags.get("language", "")
    codec = str(stream.get("codec_name", "unknown"))
    return AudioTrack(
        index=int(stream["index"]),
        codec=codec,
        channels=int(stream["channels"]),
        sample_rate_hz=int(stream["sample_rate"]),
        language=language,
        layout=str(stream.get("channel_layout", "")),
        time_base=Fraction(stream.get("time_base", "1")),
        title=title or ("" if _SOFTWARE.search(handler) else handler),
        is_default=bool(dispositions.get("default")),
        special=special_kind(dispositions, f"{title}; {handler}", language),
        is_decodable=codec in decodable,
    )


def _named_track(movie: Movie, tracks: Sequence[AudioTrack]) -> AudioTrack:
    for track in tracks:
        if track.index == movie.audio_track:
            return replace(track, choice="named by the corpus")
    available = ", ".join(str(track.index) for track in tracks)
    raise NoAudioStreamError(
        f"{movie.name}: stream {movie.audio_track}, which the corpus names as `audio_track`, is "
        f"not an audio stream; the audio streams of this file are {available}"
    )


def _rank(track: AudioTrack, requested: str) -> tuple[bool, bool, bool, bool, int, int]:
    return (
        track.is_decodable,
        not track.special,
        bool(requested) and language_code(track.language) == requested,
        track.is_default,
        track.channels,
        -track.index,
    )


def _reason(best: AudioTrack, others: Sequence[AudioTrack], requested: str) -> str:
    """The first preference that distinguishes the best track from the next one."""
    if not others:
        return "only track" + (f", though {best.special}" if best.special else "")
    readable = [track for track in others if track.is_decodable]
    names = (
        "only track with a decoder",
        "only main track" if all(track.special for track in readable) else "main track",
        f"language {requested}",
        "default track",
        "most channels",
        "first track",
    )
    pairs = zip(_rank(best, requested), _rank(others[0], requested), names, strict=True)
    reason = next(name for mine, other, name in pairs if mine != other)
    if readable and len(readable) < len(others):
        unreadable = [track for track in others if not track.is_decodable]
        reason += "; no decoder for stream " + ", ".join(
            f"{t.index} ({t.codec})" for t in unreadable
        )
    if requested and language_code(best.language) != requested:
        reason += f"; none in {requested}"
    if best.special:
        reason += f"; all are special, this one {best.special}"
    return reason
