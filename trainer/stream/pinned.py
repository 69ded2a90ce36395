"""Page-locking of memory that torch did not allocate, so that copies to a GPU run beside it."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import torch


def pin(memory: mmap.mmap) -> None:
    """Page-lock a mapping. Raises `RuntimeError` when the driver refuses."""
    code = int(_runtime().cudaHostRegister(_address(memory), len(memory), 0))
    if code:
        raise RuntimeError(
            f"could not page-lock {len(memory)} bytes for batches (cudaHostRegister: {code}); "
            "lower stream.prefetch-batches, or set --no-stream.pin-memory"
        )


def unpin(memory: mmap.mmap) -> None:
    """Undo `pin`."""
    _runtime().cudaHostUnregister(_address(memory))


def _runtime() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _address(memory: mmap.mmap) -> int:
    return int(np.frombuffer(memory, np.uint8).ctypes.data)
