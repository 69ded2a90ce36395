"""Whether this node's ffmpeg can decode on a graphics card.

It is asked by opening the device, which ffmpeg does for every run: a build may know a kind of
device that the node does not have, or whose driver is missing.
"""

from __future__ import annotations

import functools
import subprocess

from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import environment

#: Opening a card may take seconds after the boot of a node.
_SECONDS = 60
_MAX_REASON = 200


def device_problem(device: str) -> str:
    """Why a kind of device, for example `cuda`, cannot be used on this node; empty if it can."""
    return _problem(ffmpeg_path(), device)


@functools.cache
def _problem(binary: str, device: str) -> str:
    known = _run([binary, "-hide_banner", "-hwaccels"])
    if device not in known.stdout.split():
        return f"this ffmpeg was built without {device}"
    graph = ["-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-f", "null", "-"]
    opened = _run([binary, "-v", "error", "-init_hw_device", device, *graph])
    if not opened.returncode:
        return ""
    reason = " | ".join(opened.stderr.split("\n")[:3]) or f"exit status {opened.returncode}"
    return f"ffmpeg cannot open a {device} device: {reason}"[:_MAX_REASON]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {_SECONDS} s")
