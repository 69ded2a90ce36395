"""Numbers on their way from the device, for a loop that must not wait for the step it has queued.

Reading a number directly waits for everything queued before the read. Here the copy to the host is
queued together with the work that produces the number; a later read waits for that work alone.
"""

from __future__ import annotations

import torch


class Readback:
    """The value of a one-element tensor, as it is once everything queued so far has run."""

    def __init__(self, value: torch.Tensor) -> None:
        """Start copying `value` (one element) to the host, without waiting."""
        self._host = value.detach()
        self._copied: torch.cuda.Event | None = None
        if value.is_cuda:
            self._host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self._host.copy_(value.detach(), non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def item(self) -> float:
        """The value; waits until it has arrived."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._host)
