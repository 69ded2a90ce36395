"""Random numbers on a device as hashes of integers: no generator, hence no state to save."""

from __future__ import annotations

import torch

_MASK_64 = 0xFFFF_FFFF_FFFF_FFFF


def splitmix64(values: torch.Tensor) -> torch.Tensor:
    """The finalizer of SplitMix64 on int64 tensors, whose products wrap like unsigned ones."""
    values = values + signed(0x9E37_79B9_7F4A_7C15)
    values = (values ^ _shift_right(values, 30)) * signed(0xBF58_476D_1CE4_E5B9)
    values = (values ^ _shift_right(values, 27)) * signed(0x94D0_49BB_1331_11EB)
    return values ^ _shift_right(values, 31)


def splitmix64_int(value: int) -> int:
    """The same for a Python integer; the result is in [0, 2**64)."""
    value = (value + 0x9E37_79B9_7F4A_7C15) & _MASK_64
    value = ((value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK_64
    value = ((value ^ (value >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK_64
    return value ^ (value >> 31)


def uniform(hashed: torch.Tensor) -> torch.Tensor:
    """int64 hashes as float32 in [0, 1)."""
    return _shift_right(hashed, 40).float() / 2**24


def signed(value: int) -> int:
    """A number in [0, 2**64) as the int64 with the same bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift_right(values: torch.Tensor, num_bits: int) -> torch.Tensor:
    """Logical right shift; torch's operator is arithmetic."""
    return (values >> num_bits) & ((1 << (64 - num_bits)) - 1)
