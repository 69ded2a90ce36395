"""The views of a labeled file, stored once they have been decoded.

A view is one crop of one window. Windows are stored as shards store clips: film strips and log-mel,
one `.npz` file for each labeled file; their names depend on everything that they are made from, so
that a folder serves several runs with the same recipe, and an interrupted transfer continues.

Shape suffixes: V views, T frames, H x W pixels, C channels.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.sample import decode_strip
from trainer.runs.atomic_files import atomic_file


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of a file in the order of time."""

    strips: tuple[bytes, ...] | None
    """Film strip of each; None without video."""
    logmel: NDArray[np.float16] | None
    """(N, n_mels, num_mel_frames); None without audio."""

    def __len__(self) -> int:
        if self.strips is not None:
            return len(self.strips)
        assert self.logmel is not None
        return len(self.logmel)

    def frames(self, num_frames: int, number: int) -> torch.Tensor:
        """(T, H, W, 3) uint8 RGB, of one window."""
        assert self.strips is not None
        return torch.from_numpy(decode_strip(self.strips[number], num_frames).copy())


#: Reads at most so many windows of a file: `(path, number of windows, video?, audio?)`. Raises
#: `ReelshardsError` if the file cannot be read.
ReadWindows = Callable[[Path, int, bool, bool], Windows]


@dataclass(frozen=True)
class WindowStore:
    """Windows on disk."""

    folder: Path
    recipe: Recipe
    read: ReadWindows
    num_windows: int
    video: bool
    """Whether files need video."""
    audio: bool

    def get(self, path: Path) -> Windows:
        """The windows of a file. Raises `ReelshardsError` if it cannot be read."""
        stored = self.folder / f"{self._key(path)}.npz"
        if stored.exists():
            found = _loaded(stored)
            if found is not None:
                return found
        windows = self.read(path, self.num_windows, self.video, self.audio)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(stored) as file:
                file.write(_packed(windows))
        except OSError as error:
            raise InputError(f"--cache {self.folder} cannot be written: {error}") from error
        return windows

    def _key(self, path: Path) -> str:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        parts = (
            *(path.resolve(), status.st_size, status.st_mtime_ns, self.recipe.fingerprint),
            *(self.num_windows, self.video, self.audio),
        )
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]


def _packed(windows: Windows) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}
    if windows.strips is not None:
        arrays["strips"] = np.frombuffer(b"".join(windows.strips), np.uint8)
        arrays["ends"] = np.cumsum([len(strip) for strip in windows.strips])
    if windows.logmel is not None:
        arrays["logmel"] = windows.logmel
    buffer = io.BytesIO()
    save: Any = np.savez
    save(buffer, **arrays)
    return buffer.getvalue()


def _loaded(path: Path) -> Windows | None:
    """None if the file is damaged: it is then made again."""
    try:
        # From memory: of a damaged file, numpy would leave the file itself open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            strips = None
            if "strips" in arrays:
                data, ends = arrays["strips"].tobytes(), arrays["ends"].tolist()
                strips = tuple(
                    data[start:end] for start, end in zip([0, *ends], ends, strict=False)
                )
            return Windows(strips, arrays.get("logmel"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def square_crops(frames_THWC: torch.Tensor, size: int, num_crops: int) -> torch.Tensor:
    """(V, T, size, size, 3): squares along the longer side of frames that are at least as large.

    One is in the middle; of three, the others are at the two ends.
    """
    height, width = frames_THWC.shape[1:3]
    shares = (0.5,) if num_crops == 1 else (0.0, 0.5, 1.0)
    crops = []
    for share in shares:
        along_height, along_width = (share, 0.5) if height > width else (0.5, share)
        # As for evaluation of clips: the middle is rounded down.
        top, left = int((height - size) * along_height), int((width - size) * along_width)
        crops.append(frames_THWC[:, top : top + size, left : left + size])
    return torch.stack(crops)
