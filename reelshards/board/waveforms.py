"""Audio of any layout, type and rate as mono samples at the rate of the recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from shards_spec.errors import InputError


def waveform(array: Any, rate_hz: float, target_hz: int) -> NDArray[np.float32]:
    """Mono samples in [-1, 1] at `target_hz`.

    Args:
        array: (samples,), (channels, samples) or (samples, channels): the longer axis is time.
            Integers are scaled by the range of their type; 64-bit integers, which lists become, by
            the 16-bit range if all of them fit, else by the 32-bit range. Floating-point audio
            that exceeds [-1, 1] is divided by its peak.
        rate_hz: of `array`.
        target_hz: the rate to which soxr resamples, at its high quality.

    Raises `InputError` if the array is empty or contains NaN or infinity.
    """
    samples = _mono(_scaled(np.asarray(array)))
    if not rate_hz > 0:
        raise InputError(f"audio with a sampling rate of {rate_hz} Hz; expected more than 0")
    if not len(samples):
        raise InputError("audio without a sample; remove the item")
    if not np.isfinite(samples).all():
        count = int(np.count_nonzero(~np.isfinite(samples)))
        raise InputError(f"{count} of {len(samples)} audio samples are NaN or infinite")
    peak = float(np.abs(samples).max())
    if peak > 1.0:
        samples = samples / peak
    if rate_hz != target_hz:
        resampled = soxr.resample(samples, rate_hz, target_hz)
        # A few samples may become none at a lower rate.
        samples = resampled if len(resampled) else samples[:1]
    clipped: NDArray[np.float32] = np.clip(samples, -1.0, 1.0).astype(np.float32)
    return clipped


def _scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    """Floating-point samples; integers over their full scale."""
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind not in "iu":
        raise InputError(f"audio of type {array.dtype}; expected floating-point or integer samples")
    if array.dtype.kind == "u":
        middle = 2.0 ** (array.dtype.itemsize * 8 - 1)
        return ((array.astype(np.float64) - middle) / middle).astype(np.float32)
    bits = array.dtype.itemsize * 8
    if bits == 64:
        fits = not array.size or (array.min() >= -(2**15) and array.max() < 2**15)
        bits = 16 if fits else 32
    return (array.astype(np.float64) / 2.0 ** (bits - 1)).astype(np.float32)


def _mono(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of all channels."""
    array = array.squeeze() if array.ndim > 2 else array
    if array.ndim == 0:
        return array[None]
    if array.ndim == 1:
        return array
    if array.ndim > 2:
        raise InputError(f"audio of shape {array.shape}; expected (channels, samples)")
    if not array.size:
        return array.reshape(0)
    mean: NDArray[np.float32] = array.mean(axis=0 if array.shape[0] <= array.shape[1] else 1)
    return mean
