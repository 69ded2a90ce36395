"""What every ffmpeg and ffprobe command says of its inputs, whoever composed it.

An input is a local file or a `window` of this process. It goes through a protocol and a demuxer
whitelist: a playlist that lies in a corpus must not open other files or the network.
"""

from __future__ import annotations

import os
from typing import Any

import ffmpeg

from pipeline import limits
from pipeline.sources import ranged as window

#: Demuxers that read one self-contained file. No playlists, no scripts, no image sequences.
DEMUXERS = (
    "aac,ac3,asf,avi,dts,dv,eac3,flac,flv,gxf,h264,hevc,ivf,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,roq,smk,truehd,vob,wav,wtv"
)

#: What an input may open: itself.
_FILE_PROTOCOLS, _WINDOW_PROTOCOLS = "file,pipe", "http,tcp"


def input_url(path: str) -> str:
    """What ffmpeg must be given for a path, so that it is never read as a protocol or an option.

    The address of an open window stays as it is.
    """
    return path if window.at(path) else f"file:{path}"


def input_stream(path: str, **options: Any) -> Any:
    """An ffmpeg-python input from a local path or an open window; `Run` adds the whitelists."""
    return ffmpeg.input(input_url(path), **options)


def guarded(command: list[str], bounds: limits.Limits) -> list[str]:
    """`command` with the options that bind every input, right before each `-i`."""
    bounded = [
        *("-format_whitelist", DEMUXERS),
        *("-max_streams", str(bounds.max_streams)),
        *("-max_pixels", str(min(bounds.max_side**2, 2**31 - 1))),
    ]
    words = []
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == "-i":
            protocols = _WINDOW_PROTOCOLS if window.at(following) else _FILE_PROTOCOLS
            words += ["-protocol_whitelist", protocols, *bounded]
        words.append(word)
    if bounds.ffmpeg_memory_gib:
        largest = min(int(bounds.ffmpeg_memory_gib * limits.GIB), 2**31 - 1)
        words[1:1] = ["-max_alloc", str(largest)]
    return words


def environment() -> dict[str, str]:
    """This process' variables less those that would send ffmpeg's own reads through a proxy."""
    return {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
