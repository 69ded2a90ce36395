"""Copies batches to a GPU while it computes the previous one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch

from trainer.data.stream import Batch


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches with frames, log-mels and clip numbers on the device.

    A GPU copies on a stream of its own: the copy of a batch overlaps with the computation of the
    batch before, which has been queued when its successor is asked for. Pinned memory allows that.
    """
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(copies):
            frames, logmel, clip = (
                tensor.to(device, non_blocking=True)
                for tensor in (batch.frames, batch.logmel, batch.clip)
            )
        computation = torch.cuda.current_stream(device)
        computation.wait_stream(copies)
        for tensor in (frames, logmel, clip):
            # Its memory belongs to the copy stream, which must not reuse it too early.
            tensor.record_stream(computation)
        # The host memory is released here, after the computation was made to wait for the copy:
        # the next user of that memory waits for the computation.
        yield dataclasses.replace(batch, frames=frames, logmel=logmel, clip=clip)
