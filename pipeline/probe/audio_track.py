"""Which audio track of a movie is used, and why.

By, in this order: main tracks before commentary, description and other special ones; the wanted
language; the default disposition; most channels; the first. A corpus manifest may name the track.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import NoAudioStreamError
from pipeline.probe.languages import language_code
from pipeline.sources import Movie

#: Dispositions of tracks that are not the movie's own sound for everyone.
SPECIAL_DISPOSITIONS = {
    "comment": "commentary",
    "visual_impaired": "audio description",
    "descriptions": "audio description",
    "hearing_impaired": "for the hearing impaired",
    "clean_effects": "without speech",
    "non_diegetic": "non-diegetic sound",
    "karaoke": "karaoke",
    "lyrics": "lyrics",
    "dependent": "part of another track",
}
#: The same by usual titles, in the languages that disc menus are written in.
_SPECIAL_TITLES = {
    "commentary": r"\bcomment(ary|aries|aire|aires|o)\b|kommentar|comentario|comentário|комментари",
    "audio description": r"descriptive|described|\bdescripti?on\b|audio-?des[ck]ri|hörfilm"
    r"|visual(ly)?[ -]impaired",
    "for the hearing impaired": r"hearing[ -]impaired|hard[ -]of[ -]hearing",
    "without speech": r"(isolated|only) score|(score|music) only|music (and|&) effects",
    "karaoke": r"karaoke|sing[ -]?along",
}
#: Abbreviations; they count in capitals only.
_SPECIAL_CAPITALS = {
    "audio description": r"\b(AD|DVS)\b",
    "for the hearing impaired": r"\b(HI|SDH)\b",
    "without speech": r"\bM&E\b",
}


@dataclass(frozen=True)
class AudioTrack:
    """An audio stream of a container."""

    index: int
    codec: str
    channels: int
    sample_rate_hz: int
    language: str
    """As tagged; often empty or `und`."""
    layout: str = ""
    """Channel layout as ffmpeg names it; empty where the stream does not say."""
    title: str = ""
    is_default: bool = False
    has_times: bool = True
    """Whether any of its packets says when it is heard."""
    special: str = ""
    """What kind of special track it is; empty for a main one."""
    choice: str = ""
    """Why it was chosen; empty for those that were not."""


def audio_tracks(streams: Sequence[dict[str, Any]]) -> list[AudioTrack]:
    """The audio streams that can be heard at all, from ffprobe's list."""
    return [
        _track(stream)
        for stream in streams
        if stream.get("codec_type") == "audio"
        and int(stream.get("channels") or 0) > 0
        and int(stream.get("sample_rate") or 0) > 0
    ]


def choose_track(movie: Movie, tracks: Sequence[AudioTrack], language: str) -> AudioTrack:
    """The track to use, with the reason in `choice`.

    Args:
        movie: its `audio_track`, if set, is the choice; its `language` goes before `language`.
        tracks: of its file.
        language: wanted for the whole corpus; may be empty.

    Raises:
        NoAudioStreamError: there is none, or the wanted one is none of them.
    """
    if not tracks:
        raise NoAudioStreamError(
            f"{movie.name}: no audio stream; audio-visual clips need one: remove the file from "
            "the corpus, or give it a sound track"
        )
    if movie.audio_track >= 0:
        return _named_track(movie, tracks)
    wanted = language_code(movie.language or language)
    ranked = sorted(tracks, key=lambda track: _rank(track, wanted), reverse=True)
    best = ranked[0]
    return replace(best, choice=_reason(best, ranked[1:], wanted))


def _track(stream: dict[str, Any]) -> AudioTrack:
    tags = {str(key).lower(): str(value) for key, value in stream.get("tags", {}).items()}
    marks = stream.get("disposition", {})
    # MP4 keeps a track's title in the name of its handler, among names of software.
    titles = f"{tags.get('title', '')}; {tags.get('handler_name', '')}"
    return AudioTrack(
        index=int(stream["index"]),
        codec=str(stream.get("codec_name", "unknown")),
        channels=int(stream["channels"]),
        sample_rate_hz=int(stream["sample_rate"]),
        language=tags.get("language", ""),
        layout=str(stream.get("channel_layout", "")),
        title=tags.get("title", ""),
        is_default=bool(marks.get("default")),
        special=_special(marks, titles),
    )


def _special(marks: dict[str, Any], title: str) -> str:
    for mark, kind in SPECIAL_DISPOSITIONS.items():
        if marks.get(mark):
            return kind
    for patterns, flags in ((_SPECIAL_TITLES, re.IGNORECASE), (_SPECIAL_CAPITALS, 0)):
        for kind, pattern in patterns.items():
            if re.search(pattern, title, flags):
                return kind
    return ""


def _named_track(movie: Movie, tracks: Sequence[AudioTrack]) -> AudioTrack:
    for track in tracks:
        if track.index == movie.audio_track:
            return replace(track, choice="named by the corpus")
    there = ", ".join(str(track.index) for track in tracks)
    raise NoAudioStreamError(
        f"{movie.name}: stream {movie.audio_track}, which the corpus names as `audio_track`, is no "
        f"audio stream; those of this file are {there}"
    )


def _rank(track: AudioTrack, wanted: str) -> tuple[bool, bool, bool, int, int]:
    return (
        not track.special,
        bool(wanted) and language_code(track.language) == wanted,
        track.is_default,
        track.channels,
        -track.index,
    )


def untimed(track: AudioTrack) -> AudioTrack:
    """The chosen track, of whose packets none has a time: its sound begins with the picture."""
    choice = f"{track.choice}; without times, so it begins with the picture"
    return replace(track, choice=choice, has_times=False)


def _reason(best: AudioTrack, others: Sequence[AudioTrack], wanted: str) -> str:
    """The first preference that sets the best track apart from the next one."""
    if not others:
        return "only track" + (f", though {best.special}" if best.special else "")
    names = (
        "only main track" if all(track.special for track in others) else "main track",
        f"language {wanted}",
        "default track",
        "most channels",
        "first track",
    )
    pairs = zip(_rank(best, wanted), _rank(others[0], wanted), names, strict=True)
    reason = next(name for mine, other, name in pairs if mine != other)
    if wanted and language_code(best.language) != wanted:
        reason += f"; none in {wanted}"
    if best.special:
        reason += f"; all are special, this one {best.special}"
    return reason
