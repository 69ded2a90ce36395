"""A movie with frames that are larger than the memory that a test allows."""

from __future__ import annotations

from pathlib import Path

from tests.support.films.media import ffmpeg

_WIDTH, _HEIGHT, _PIXEL_BYTES = 4096, 4112, 4
#: A decoder needs one buffer of this size for each frame.
FRAME_GIB = _WIDTH * _HEIGHT * _PIXEL_BYTES / (1 << 30)


def make_large(path: Path) -> Path:
    """Two frames at one per second, of a codec (for .mov) that decodes them in no time."""
    picture = f"testsrc2=s=64x64:r=1:d=2,scale={_WIDTH}:{_HEIGHT}:flags=neighbor,format=argb"
    sources = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=440:d=2")
    ffmpeg(*sources, "-c:v", "qtrle", "-c:a", "aac", "-threads", "1", path)
    return path
