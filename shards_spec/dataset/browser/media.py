"""Images and audio of clips as files that a browser shows, made on request and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import simplejpeg

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.sound import encode_wav, render_logmel
from shards_spec.dataset.inspection import draw_logmel, encode_png
from shards_spec.errors import FormatError
from shards_spec.sample import (
    AUDIO,
    FRAMES,
    LOGMEL,
    check_crc32c,
    decode_logmel,
    decode_strip,
    split_members,
)
from shards_spec.schema import ClipRow

#: Bytes of media that are kept in memory.
CACHE_BYTES = 256 * 1024 * 1024

#: Bytes that one file of a clip may have; players and pages stay usable.
MAX_FILE_BYTES = 64 * 1024 * 1024

#: Quality of thumbnails, libjpeg's scale; and their height, pixels.
_QUALITY, _THUMB_HEIGHT = 85, 96


@dataclass(frozen=True)
class File:
    """What is sent to a browser."""

    data: bytes
    media_type: str


@dataclass
class ClipMedia:
    """The files of a dataset's clips; safe to use from several threads."""

    catalog: Catalog
    has_audio: bool
    """Whether clips have stored audio; else it is rendered from the log-mel."""
    _kept: OrderedDict[tuple[str, str], File] = field(default_factory=OrderedDict)
    _kept_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # Decoding takes memory: a page with many images does not decode all of them at once.
    _working: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))

    def file(self, clip_id: str, name: str) -> File:
        """One of `names` of a clip.

        Raises `InputError` for an unknown clip; `FormatError` or `StorageError` if it is damaged or
        cannot be read.
        """
        with self._lock:
            if (clip_id, name) in self._kept:
                self._kept.move_to_end((clip_id, name))
                return self._kept[clip_id, name]
        row = self.catalog.clip(clip_id)
        with self._working:
            made = self._makers[name](row, self._members(row))
        if len(made.data) > MAX_FILE_BYTES:
            raise FormatError(f"clip {clip_id}: {name} has {len(made.data):,} bytes, too many")
        self._keep((clip_id, name), made)
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """File names of every clip."""
        return tuple(self._makers)

    @property
    def audio_name(self) -> str:
        """File name of a clip's audio."""
        return "audio.flac" if self.has_audio else "audio.wav"

    @property
    def _makers(self) -> dict[str, Callable[[ClipRow, dict[str, memoryview]], File]]:
        return {
            "strip.jpg": self._strip,
            "thumb.jpg": self._thumb,
            "logmel.png": self._logmel,
            self.audio_name: self._flac if self.has_audio else self._wav,
        }

    def _members(self, row: ClipRow) -> dict[str, memoryview]:
        storage = self.catalog.dataset.storage
        data = storage.get_range(row.shard, row.tar_offset, row.tar_bytes)
        check_crc32c(data, row)
        members = split_members(data).get(row.clip_id, {})
        missing = [name for name in (FRAMES, LOGMEL) if name not in members]
        if missing:
            raise FormatError(f"clip {row.clip_id}: members {missing} are missing")
        return members

    def _strip(self, row: ClipRow, members: dict[str, memoryview]) -> File:
        # Decoded once, so that a browser gets nothing but an image of the size in the index.
        decode_strip(members[FRAMES], row.num_frames, (row.height, row.width))
        return File(bytes(members[FRAMES]), "image/jpeg")

    def _thumb(self, row: ClipRow, members: dict[str, memoryview]) -> File:
        frames = decode_strip(members[FRAMES], row.num_frames, (row.height, row.width))
        frame = frames[row.num_frames // 2]
        step = max(1, row.height // _THUMB_HEIGHT)
        height, width = (max(1, side // step) for side in frame.shape[:2])
        small = frame[: height * step, : width * step]
        if small.shape[0] < step or small.shape[1] < step:
            small, step = frame, 1
            height, width = row.height, row.width
        blocks = small.reshape(height, step, width, step, 3)
        pixels = np.ascontiguousarray(blocks.mean(axis=(1, 3)).round().astype(np.uint8))
        data: bytes = simplejpeg.encode_jpeg(pixels, _QUALITY, "RGB", "420")
        return File(data, "image/jpeg")

    def _logmel(self, row: ClipRow, members: dict[str, memoryview]) -> File:
        return File(encode_png(draw_logmel(decode_logmel(members[LOGMEL]), 2)), "image/png")

    def _wav(self, row: ClipRow, members: dict[str, memoryview]) -> File:
        logmel, recipe = decode_logmel(members[LOGMEL]), self.catalog.dataset.recipe
        if logmel.shape[0] != recipe.n_mels:
            raise FormatError(
                f"clip {row.clip_id}: log-mel of {logmel.shape[0]} bands, but {recipe.n_mels} "
                "in the recipe"
            )
        return File(encode_wav(render_logmel(logmel, recipe), recipe.sample_rate_hz), "audio/wav")

    def _flac(self, row: ClipRow, members: dict[str, memoryview]) -> File:
        data = bytes(members.get(AUDIO, b""))
        if not data.startswith(b"fLaC"):
            raise FormatError(f"clip {row.clip_id}: {AUDIO} is missing or not FLAC")
        return File(data, "audio/flac")

    def _keep(self, key: tuple[str, str], made: File) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = made
            self._kept_bytes += len(made.data)
            while self._kept_bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest.data)
