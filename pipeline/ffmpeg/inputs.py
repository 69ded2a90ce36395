"""Input options that every ffmpeg and ffprobe command gets.

An input passes a protocol and a demuxer whitelist: a playlist in a corpus must not open other files
or the network.
"""

from __future__ import annotations

import os
from typing import Any

import ffmpeg

from pipeline.sources import Readable

#: Demuxers that read one self-contained file. No playlists, no scripts, no image sequences.
DEMUXERS = (
    "aac,ac3,asf,avi,dts,dv,eac3,flac,flv,gxf,h264,hevc,ivf,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,roq,smk,truehd,vob,wav,wtv"
)

#: Options of an output that gets no texts of the movie, and does not list them on stderr.
WITHOUT_TEXTS = {"map_metadata": -1, "map_chapters": -1}

#: Variables that programs need to start, and to find their libraries.
_PASSED_ON = frozenset({"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"})
_PASSED_ON_PREFIXES = ("LC_", "LD_", "DYLD_")


def input_stream(source: Readable, **options: Any) -> Any:
    """An ffmpeg-python input that reads an open source and nothing else."""
    return ffmpeg.input(source.url, **_bounds(source), **options)


def input_arguments(source: Readable) -> list[str]:
    """The same as arguments of a command line: options and `-i`."""
    options = [word for name, value in _bounds(source).items() for word in (f"-{name}", value)]
    return [*options, "-i", source.url]


def _bounds(source: Readable) -> dict[str, str]:
    return {
        "protocol_whitelist": source.protocols,
        "format_whitelist": DEMUXERS,
        "max_streams": str(source.limits.max_streams),
        "max_pixels": str(min(source.limits.max_side**2, 2**31 - 1)),
    }


def environment() -> dict[str, str]:
    """What ffmpeg gets of this process's environment.

    Not the credentials of stores, which a movie that takes over the decoder could read; no proxy
    that would route reads elsewhere; and no `FFREPORT`, which would write files.
    """
    return {
        name: text
        for name, text in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
