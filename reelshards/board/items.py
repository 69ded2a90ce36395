"""Benchmark items, in every form in which `mteb` passes them, as inputs of the encoders.

Files and bytes are decoded by ffmpeg, like the training movies; torchcodec's decoders decode
themselves. Without torchcodec, everything that is in a file can still be read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.excerpts import DecodedFile, decode_file
from reelshards.board.videos import GridVideo, video_of_decoder, video_of_frames
from reelshards.board.waveforms import waveform
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe

#: Longer files are refused, because they are decoded into memory: about 1 GB of frames.
MAX_SECONDS = 1800.0


def audio_item(item: Any, recipe: Recipe) -> NDArray[np.float32]:
    """Mono samples at the recipe's rate.

    Args:
        item: a mapping with `array` and `sampling_rate`, or with `bytes` or `path` of a file; or a
            torchcodec decoder.
        recipe: of the encoder.

    Raises:
        InputError: the item is none of these, is empty, or contains NaN.
        MovieError: the file cannot be decoded.
    """
    target_hz = recipe.sample_rate_hz
    if hasattr(item, "get_all_samples"):
        decoded = item.get_all_samples()
        return waveform(decoded.data.numpy(), decoded.sample_rate, target_hz)
    if isinstance(item, Mapping):
        if item.get("array") is not None:
            return waveform(item["array"], item["sampling_rate"], target_hz)
        if _is_file(item):
            samples = _decoded(item, recipe, video=False).samples
            assert samples is not None
            return waveform(samples, target_hz, target_hz)
    raise InputError(f"audio as {_described(item)}; expected samples with their rate, or a file")


def video_item(item: Any, recipe: Recipe, bare_fps: float | None) -> GridVideo:
    """Frames on the recipe's grid.

    Args:
        item: a mapping with `bytes` or `path` of a file, a torchcodec decoder, or bare frames.
        recipe: of the encoder.
        bare_fps: frame rate of bare frames, which have none; by default that of the recipe.

    Raises the same errors as `audio_item`.
    """
    grid_fps = recipe.fps_fraction
    if hasattr(item, "get_frames_played_at"):
        return video_of_decoder(item, grid_fps)
    if isinstance(item, Mapping):
        if not _is_file(item):
            raise InputError(f"video as {_described(item)}; expected a file")
        frames = _decoded(item, recipe, video=True).frames
        assert frames is not None
        return video_of_frames(frames, recipe.fps, grid_fps)
    return video_of_frames(item, recipe.fps if bare_fps is None else bare_fps, grid_fps)


def _is_file(item: Mapping[str, Any]) -> bool:
    return item.get("bytes") is not None or item.get("path") is not None


def _decoded(item: Mapping[str, Any], recipe: Recipe, *, video: bool) -> DecodedFile:
    if item.get("bytes") is None:
        return _decoded_path(Path(item["path"]), recipe, video=video)
    with tempfile.TemporaryDirectory(prefix="reelshards-board-") as folder:
        # The name is untrusted, but some containers are recognized by their suffix.
        path = Path(folder, "item" + Path(item.get("path") or "").suffix[:8])
        path.write_bytes(item["bytes"])
        return _decoded_path(path, recipe, video=video)


def _decoded_path(path: Path, recipe: Recipe, *, video: bool) -> DecodedFile:
    return decode_file(path, recipe, video=video, audio=not video, max_seconds=MAX_SECONDS)


def _described(item: Any) -> str:
    if isinstance(item, Mapping):
        return f"a mapping of {', '.join(map(str, item)) or 'nothing'}"
    return type(item).__name__
