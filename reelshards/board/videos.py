"""Video of any layout, type and rate as RGB frames on the grid of the recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.errors import InputError

#: Sizes of an axis that is taken to be gray, RGB or RGBA channels.
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class GridVideo:
    """A video whose frame n is the one on screen n / fps seconds after the first one."""

    num_steps: int
    """At least 1."""
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    """(T,) steps, ascending -> (T, H, W, 3) RGB."""


def video_of_frames(frames: Any, fps: float, grid_fps: Fraction) -> GridVideo:
    """Frames in memory, at a constant rate.

    Args:
        frames: tensor or array (T, C, H, W), (T, H, W, C) or (T, H, W), or a sequence of images;
            gray, RGB, or RGBA, whose alpha is ignored. Floating-point pixels are in [0, 1], or in
            [0, 255] if one exceeds 1.
        fps: of `frames`.
        grid_fps: of the recipe.

    Raises `InputError` for a video without frames, and for any other shape or type.
    """
    if not fps > 0:
        raise InputError(f"video at {fps} frames per second; expected more than 0")
    rgb_THWC = rgb_frames(frames)
    per_step = Fraction(fps) / grid_fps
    num_steps = max(1, math.ceil(len(rgb_THWC) / per_step))

    def read(steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        shown = [min(len(rgb_THWC) - 1, math.floor(int(step) * per_step)) for step in steps]
        return rgb_THWC[shown]

    return GridVideo(num_steps, read)


def video_of_decoder(decoder: Any, grid_fps: Fraction) -> GridVideo:
    """A `torchcodec.decoders.VideoDecoder`; only the frames that are read are decoded."""
    metadata = decoder.metadata
    begin = float(metadata.begin_stream_seconds or 0.0)
    end = metadata.end_stream_seconds
    if end is None or not end > begin:
        raise InputError(f"video that begins at {begin} s and ends at {end} s; remove the item")
    readable = _readable_end(decoder, begin, end)
    # The end of the last frame is a rounded time.
    num_steps = max(1, math.ceil((end - begin) * float(grid_fps) - 1e-6))

    def read(steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        # A frame may begin a rounding error later than its step.
        seconds = [
            min(begin + float(step / grid_fps) + 1e-6, readable - 1e-6) for step in steps.tolist()
        ]
        try:
            played = decoder.get_frames_played_at(seconds=seconds)
        except (RuntimeError, ValueError, IndexError) as error:
            raise InputError(f"video that cannot be decoded: {error}") from error
        return rgb_frames(played.data)

    return GridVideo(num_steps, read)


def _readable_end(decoder: Any, begin: float, end: float) -> float:
    """Seconds up to which there are frames: files may lack the last ones that they declare."""
    step = 1.0 / float(decoder.metadata.average_fps or 25.0)
    reason: Exception | None = None
    while end > begin:
        try:
            decoder.get_frames_played_at(seconds=[end - 1e-6])
        except (RuntimeError, ValueError, IndexError) as error:
            reason = error
            end -= step
        else:
            return end
    raise InputError(f"video without a frame that can be decoded: {reason}") from reason


def rgb_frames(frames: Any) -> NDArray[np.uint8]:
    """Frames in any form that `video_of_frames` accepts -> (T, H, W, 3) RGB."""
    is_tensor = isinstance(frames, torch.Tensor)
    array = frames.cpu().numpy() if is_tensor else _stacked(frames)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4:
        raise InputError(
            f"video of shape {array.shape}; expected (frames, channels, height, width)"
        )
    if 0 in array.shape:
        raise InputError(f"video of shape {array.shape} has no pixels; remove the item")
    first, last = array.shape[1] in _CHANNELS, array.shape[3] in _CHANNELS
    if not first and not last:
        raise InputError(f"video of shape {array.shape}; expected 1, 3 or 4 channels")
    if first and (is_tensor or not last):
        array = array.transpose(0, 2, 3, 1)
    pixels = _bytes(array[..., :3])
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else np.ascontiguousarray(pixels)


def _stacked(frames: Any) -> NDArray[Any]:
    """An array of the frames in a sequence of images, arrays or tensors."""
    if isinstance(frames, np.ndarray):
        return frames
    if not isinstance(frames, Sequence):
        raise InputError(f"video as {type(frames).__name__}; expected frames or a decoder")
    arrays = [np.asarray(_rgb_image(frame)) for frame in frames]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"video with frames of shapes {shapes or 'none'}; expected one shape")
    return np.stack(arrays)


def _rgb_image(frame: Any) -> Any:
    """A Pillow image of any mode as RGB; anything else unchanged."""
    return frame.convert("RGB") if hasattr(frame, "convert") else frame


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.uint16:
        return np.asarray(pixels >> 8, np.uint8)
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise InputError("video with pixels that are NaN or infinite")
        scale = 255.0 if pixels.max() <= 1.0 else 1.0
        return np.clip(np.round(pixels.astype(np.float32) * scale), 0, 255).astype(np.uint8)
    if pixels.dtype.kind in "iu":
        return np.asarray(np.clip(pixels, 0, 255), np.uint8)
    raise InputError(f"video of type {pixels.dtype}; expected 8-bit or floating-point pixels")
