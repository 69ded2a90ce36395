"""The bytes of one clip -> its frames and log-mel in a batch, safe for clips in many threads.

The log-mel's `.npy` header is compared with the bytes that the recipe makes us expect, not parsed:
that is the fast path, and any other header is read and judged by `shards_spec`.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import (
    AUDIO,
    FRAMES,
    LOGMEL,
    TAR_BLOCK,
    decode_logmel,
    encode_logmel,
    member_at,
    padded,
    split_members,
)
from trainer.fetch import Bytes, ClipPlace

#: Bytes; a strip's memory begins so far behind the begin of a cache line.
_CACHE_LINE, _STORE_OFFSET = 64, 16


class ClipDecoder:
    """Decodes clips of one recipe; `decode_into` may be called from any thread."""

    def __init__(self, recipe: Recipe) -> None:
        self._num_frames = recipe.num_frames
        self._shape = (recipe.n_mels, recipe.num_mel_frames)
        empty = np.zeros(self._shape, dtype=np.float16)
        self._header = encode_logmel(empty)[: -empty.nbytes]
        self._size = len(self._header) + empty.nbytes
        self._scratch = threading.local()

    def decode_into(
        self,
        data: Bytes,
        clip: ClipPlace,
        frames: NDArray[np.uint8],
        logmel: NDArray[np.float16],
        *,
        top: int,
        left: int,
    ) -> None:
        """Decode the bytes of exactly one clip, its frames cropped at (top, left).

        Args:
            data: the clip's tar members (1-D), whose checksum was right.
            clip: what they should be.
            frames: (T, S, S, 3), written.
            logmel: (n_mels, num_mel_frames), written.
            top: rows of each frame above the crop, pixels.
            left: columns left of the crop, pixels.

        Raises `FormatError` that names the clip when it is broken or does not fit the recipe.
        """
        try:
            strip, mels = self._members(data.data, clip)
            self._decode_strip(strip, clip, frames, top, left)
            logmel[:] = self._logmel(mels)
        except FormatError as error:
            place = f"{clip.shard} at byte {clip.tar_offset}"
            raise FormatError(f"{place}: clip {clip.clip_id}: {error}") from error

    def _members(self, data: memoryview, clip: ClipPlace) -> tuple[memoryview, memoryview]:
        """Film strip and log-mel of a clip. Raises `FormatError`.

        The writer's order is alphabetic: the strip behind a sound track if there is one, the
        log-mel at the end.
        """
        strip = member_at(data, 0, f"{clip.clip_id}.{FRAMES}")
        if strip is None:
            sound = member_at(data, 0, f"{clip.clip_id}.{AUDIO}")
            if sound is not None:
                start = TAR_BLOCK + padded(len(sound))
                strip = member_at(data, start, f"{clip.clip_id}.{FRAMES}")
        start = len(data) - padded(self._size) - TAR_BLOCK
        logmel = member_at(data, start, f"{clip.clip_id}.{LOGMEL}")
        if strip is not None and logmel is not None:
            return strip, logmel
        # Not as our writer lays it out, or not as it should be.
        members = split_members(data)
        if list(members) != [clip.clip_id]:
            raise FormatError(f"the bytes are of {', '.join(members) or 'nothing'}")
        missing = [name for name in (FRAMES, LOGMEL) if name not in members[clip.clip_id]]
        if missing:
            raise FormatError(f"members {missing} are missing")
        return members[clip.clip_id][FRAMES], members[clip.clip_id][LOGMEL]

    def _decode_strip(
        self, data: memoryview, clip: ClipPlace, frames: NDArray[np.uint8], top: int, left: int
    ) -> None:
        shape = (self._num_frames, clip.height, clip.width, 3)
        is_whole = frames.shape == shape
        strip = frames if is_whole else self._scratch_of(shape)
        try:
            # As `shards_spec.sample.decode_strip`: smooth chroma would mix touching frames.
            found = simplejpeg.decode_jpeg(data, "RGB", fastupsample=True, buffer=strip.reshape(-1))
            if found.shape != (shape[0] * shape[1], *shape[2:]):
                raise ValueError(f"{found.shape} is not {shape}")
        except ValueError as error:
            self._check_size(data, clip)
            raise FormatError(f"film strip is not a readable JPEG: {error}") from error
        if not is_whole:
            size = frames.shape[1]
            frames[:] = strip[:, top : top + size, left : left + size]

    def _check_size(self, data: memoryview, clip: ClipPlace) -> None:
        """Raise `FormatError` when a film strip is of another size than the index says."""
        with contextlib.suppress(ValueError):
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if (height, width) != (self._num_frames * clip.height, clip.width):
                raise FormatError(
                    f"a film strip of {width} x {height} pixels is not {self._num_frames} frames "
                    f"of {clip.width} x {clip.height}, which the index says"
                )

    def _scratch_of(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """This thread's memory: fresh memory for each clip costs as much as cropping it."""
        found: NDArray[np.uint8] | None = getattr(self._scratch, "memory", None)
        if found is None or found.shape != shape:
            found = self._scratch.memory = cached_memory(shape)
        return found

    def _logmel(self, data: memoryview) -> NDArray[np.float16]:
        start = len(self._header)
        if len(data) == self._size and data[:start] == self._header:
            return np.frombuffer(data, "<f2", offset=start).reshape(self._shape)
        logmel = decode_logmel(data)
        if logmel.shape != self._shape:
            raise FormatError(f"log-mel {logmel.shape} is not {self._shape} as the recipe says")
        return logmel


def cached_memory(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory that a decoded strip stays in the processor's cache in, for the crop that follows.

    Rows that begin at a multiple of 32 bytes are written by libjpeg-turbo past the cache (its
    non-temporal stores): reading them back makes a clip a third slower. These do not begin there.
    """
    size = int(np.prod(shape))
    memory = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    start = (_STORE_OFFSET - memory.ctypes.data) % _CACHE_LINE
    return memory[start : start + size].reshape(shape)
