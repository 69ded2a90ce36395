"""Decodes clips in many threads at once.

The log-mel's `.npy` header is compared with the bytes that the recipe makes us expect, not parsed:
numpy parses it with `ast`, whose recursion count CPython 3.11 shares between threads, so that a
thread now and then gets a SystemError (python/cpython#106905). A header that is written otherwise
is parsed by one thread at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import (
    FRAMES,
    LOGMEL,
    decode_logmel,
    decode_strip,
    encode_logmel,
    split_members,
)
from shards_spec.schema import ClipRow


@dataclass(frozen=True, eq=False)
class DecodedClip:
    """What a batch needs of a clip."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3) uint8 RGB."""
    logmel: NDArray[np.float16]
    """(n_mels, num_mel_frames) float16, natural log of mel power."""


class ClipDecoder:
    """Decodes clips of one recipe; `decode` may be called from any thread."""

    def __init__(self, recipe: Recipe) -> None:
        self._num_frames = recipe.num_frames
        self._shape = (recipe.n_mels, recipe.num_mel_frames)
        empty = np.zeros(self._shape, dtype=np.float16)
        self._header = encode_logmel(empty)[: -empty.nbytes]
        self._size = len(self._header) + empty.nbytes
        self._lock = threading.Lock()

    def decode(self, data: memoryview, row: ClipRow) -> DecodedClip:
        """The bytes of exactly one clip -> the clip.

        Raises `FormatError` that names the clip when it is broken or does not fit the recipe.
        """
        try:
            members = split_members(data)
            if list(members) != [row.clip_id]:
                raise FormatError(f"the bytes are of {', '.join(members) or 'nothing'}")
            missing = [name for name in (FRAMES, LOGMEL) if name not in members[row.clip_id]]
            if missing:
                raise FormatError(f"members {missing} are missing")
            frames = decode_strip(members[row.clip_id][FRAMES], self._num_frames)
            height, width = frames.shape[1:3]
            if (height, width) != (row.height, row.width):
                raise FormatError(
                    f"frames of {width} x {height}, the index says {row.width} x {row.height}"
                )
            return DecodedClip(frames, self._logmel(members[row.clip_id][LOGMEL]))
        except FormatError as error:
            place = f"{row.shard} at byte {row.tar_offset}"
            raise FormatError(f"{place}: clip {row.clip_id}: {error}") from error

    def _logmel(self, data: memoryview) -> NDArray[np.float16]:
        start = len(self._header)
        if len(data) == self._size and data[:start] == self._header:
            return np.frombuffer(data, "<f2", offset=start).reshape(self._shape)
        with self._lock:
            logmel = decode_logmel(data)
        if logmel.shape != self._shape:
            raise FormatError(f"log-mel {logmel.shape} is not {self._shape} as the recipe says")
        return logmel
