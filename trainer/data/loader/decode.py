"""Decodes the bytes of a clip into its frames and log-mel in a batch; thread-safe.

As a fast path, the log-mel's `.npy` header is compared with the bytes that follow from the recipe
instead of being parsed; `shards_spec` reads and checks any other header.
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
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.loader.cuda_decode import decode_strip_on_cuda

#: Bytes; the memory of a film strip starts at this offset from the start of a cache line.
_CACHE_LINE, _STORE_OFFSET = 64, 16


class ClipDecoder:
    """Decodes clips of one recipe; `decode_into` may be called from any thread."""

    def __init__(self, recipe: Recipe, *, on_cuda: bool = False) -> None:
        self._on_cuda = on_cuda
        self._num_frames = recipe.num_frames
        self._shape = (recipe.n_mels, recipe.num_mel_frames)
        empty = np.zeros(self._shape, dtype=np.float16)
        self._header = encode_logmel(empty)[: -empty.nbytes]
        self._size = len(self._header) + empty.nbytes
        self._scratch = threading.local()

    def decode_into(
        self,
        data: NDArray[np.uint8],
        clip: ClipLocation,
        frames: NDArray[np.uint8],
        logmel: NDArray[np.float16],
        *,
        top: int,
        left: int,
    ) -> None:
        """Decode the bytes of exactly one clip, with its frames cropped at (top, left).

        Args:
            data: the clip's tar members (1-D), with the right checksum.
            clip: the expected clip.
            frames: (T, S, S, 3), written.
            logmel: (n_mels, num_mel_frames), written.
            top: first row of the crop, pixels.
            left: first column of the crop, pixels.

        Raises `FormatError`, naming the clip, when it is corrupt or does not match the recipe.
        """
        try:
            strip, encoded_logmel = self._members(data.data, clip)
            self._decode_strip(strip, clip, frames, top, left)
            logmel[:] = self._decode_logmel(encoded_logmel)
        except FormatError as error:
            location = f"{clip.shard} at byte {clip.tar_offset}"
            raise FormatError(f"{location}: clip {clip.clip_id}: {error}") from error

    def _members(self, data: memoryview, clip: ClipLocation) -> tuple[memoryview, memoryview]:
        """Film strip and log-mel of a clip. Raises `FormatError`.

        The writer orders members alphabetically: the audio if there is any, the film strip, the
        log-mel.
        """
        strip = member_at(data, 0, f"{clip.clip_id}.{FRAMES}")
        if strip is None:
            audio = member_at(data, 0, f"{clip.clip_id}.{AUDIO}")
            if audio is not None:
                start = TAR_BLOCK + padded(len(audio))
                strip = member_at(data, start, f"{clip.clip_id}.{FRAMES}")
        start = len(data) - padded(self._size) - TAR_BLOCK
        logmel = member_at(data, start, f"{clip.clip_id}.{LOGMEL}")
        if strip is not None and logmel is not None:
            return strip, logmel
        # Another writer's order, or corrupt.
        members = split_members(data)
        if list(members) != [clip.clip_id]:
            raise FormatError(f"the bytes belong to {', '.join(members) or 'no clip'}")
        missing = [name for name in (FRAMES, LOGMEL) if name not in members[clip.clip_id]]
        if missing:
            raise FormatError(f"members {missing} are missing")
        return members[clip.clip_id][FRAMES], members[clip.clip_id][LOGMEL]

    def _decode_strip(
        self, data: memoryview, clip: ClipLocation, frames: NDArray[np.uint8], top: int, left: int
    ) -> None:
        shape = (self._num_frames, clip.height, clip.width, 3)
        if self._on_cuda:
            try:
                decode_strip_on_cuda(data, shape, frames, top, left)
            except ValueError as error:
                self._check_size(data, clip)
                raise FormatError(f"the film strip is not a readable JPEG: {error}") from error
            return
        is_whole = frames.shape == shape
        strip = frames if is_whole else self._scratch_of(shape)
        try:
            # As `shards_spec.sample.decode_strip`: smooth chroma would mix touching frames.
            out = simplejpeg.decode_jpeg(data, "RGB", fastupsample=True, buffer=strip.reshape(-1))
            if out.shape != (shape[0] * shape[1], *shape[2:]):
                raise ValueError(f"{out.shape} is not {shape}")
        except ValueError as error:
            self._check_size(data, clip)
            raise FormatError(f"the film strip is not a readable JPEG: {error}") from error
        if not is_whole:
            size = frames.shape[1]
            frames[:] = strip[:, top : top + size, left : left + size]

    def _check_size(self, data: memoryview, clip: ClipLocation) -> None:
        """Raise `FormatError` when a film strip has another size than the index says."""
        with contextlib.suppress(ValueError):
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if (height, width) != (self._num_frames * clip.height, clip.width):
                raise FormatError(
                    f"the film strip has {width} x {height} pixels, not {self._num_frames} "
                    f"frames of {clip.width} x {clip.height} as in the index"
                )

    def _scratch_of(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """This thread's memory: allocating it for each clip would cost as much as cropping."""
        scratch: NDArray[np.uint8] | None = getattr(self._scratch, "memory", None)
        if scratch is None or scratch.shape != shape:
            scratch = self._scratch.memory = cacheable_array(shape)
        return scratch

    def _decode_logmel(self, data: memoryview) -> NDArray[np.float16]:
        start = len(self._header)
        if len(data) == self._size and data[:start] == self._header:
            return np.frombuffer(data, "<f2", offset=start).reshape(self._shape)
        logmel = decode_logmel(data)
        if logmel.shape != self._shape:
            raise FormatError(f"the log-mel has shape {logmel.shape}, not {self._shape}")
        return logmel


def cacheable_array(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A buffer in which the decoded film strip stays in the CPU cache, for the crop that follows.

    libjpeg-turbo writes rows that start at a multiple of 32 bytes with non-temporal stores, which
    bypass the cache; reading them back makes a clip a third slower. Rows of this array do not start
    at such addresses.
    """
    size = int(np.prod(shape))
    memory = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    start = (_STORE_OFFSET - memory.ctypes.data) % _CACHE_LINE
    return memory[start : start + size].reshape(shape)
