"""Constants on a device."""

from __future__ import annotations

from typing import Any

import torch


def constant(values: Any, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`values` (nested sequences of numbers) on a device.

    `torch.tensor(values, device=device)` would wait for all that the device has been asked to do.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
