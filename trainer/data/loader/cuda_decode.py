"""JPEG strips decoded by a GPU (nvJPEG through torchvision), for machines with few cores.

Pixels differ from the CPU's where colors change sharply: nvJPEG interpolates chroma, libjpeg-turbo
as we call it repeats it. The largest difference seen is 69 of 255 levels; see `docs/operations.md`.

Torch is imported on use, because loader workers, which never decode this way, do without it.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import InputError


def check_cuda_decode(num_processes: int) -> None:
    """Raise `InputError`, saying what to do, where strips cannot be decoded on a GPU."""
    if num_processes > 0:
        raise InputError(
            f"stream: decode = cuda needs num_processes = 0, not {num_processes}: the training "
            "process's own threads feed the GPU; set --stream.num-processes 0"
        )
    if importlib.util.find_spec("torchvision") is None:
        raise InputError(
            "stream: decode = cuda needs torchvision, which is not installed; install it (pip "
            "install torchvision), or set --stream.decode cpu"
        )
    import torch

    if not torch.cuda.is_available():
        raise InputError("stream: decode = cuda needs a GPU; set --stream.decode cpu")


def decode_strip_on_cuda(
    data: memoryview,
    shape: tuple[int, int, int, int],
    frames: NDArray[np.uint8],
    top: int,
    left: int,
) -> None:
    """Decode a JPEG of T frames one above the other, and crop them.

    Args:
        data: the JPEG.
        shape: (T, H, W, 3) of all its frames.
        frames: (T, S, S, 3), written.
        top: first row of the crop, pixels.
        left: first column of the crop, pixels.

    Raises `ValueError` when it is not a readable JPEG of that shape.
    """
    torch, io = _modules()
    encoded = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    try:
        strip = io.decode_jpeg(encoded, mode=io.ImageReadMode.RGB, device="cuda")
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    num_frames, height, width, channels = shape
    if tuple(strip.shape) != (channels, num_frames * height, width):
        raise ValueError(f"{tuple(strip.shape)} is not {shape}")
    size = frames.shape[1]
    whole = strip.view(channels, num_frames, height, width)
    crop = whole[:, :, top : top + size, left : left + size].permute(1, 2, 3, 0)
    torch.from_numpy(frames).copy_(crop)


@functools.cache
def _modules() -> tuple[Any, Any]:
    import torch
    import torchvision.io

    return torch, torchvision.io
