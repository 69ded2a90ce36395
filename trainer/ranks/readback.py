"""Numbers on their way from the device, for a loop that must not wait for the step it has queued.

A number that is read where it lies waits for everything that was queued before the reading. So its
way to the host is queued together with the work that makes it; whoever wants it later waits for
that work alone.
"""

from __future__ import annotations

import torch


class Readback:
    """A tensor's only value, as it is when everything queued so far is done."""

    def __init__(self, value: torch.Tensor) -> None:
        """Begin to copy `value` (one element) to the host; does not wait."""
        self._host = value.detach()
        self._copied: torch.cuda.Event | None = None
        if value.is_cuda:
            self._host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._host.copy_(value.detach(), non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def item(self) -> float:
        """The value; waits until it is here."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._host)
