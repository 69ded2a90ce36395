"""Pipes for several outputs of one process, read as frames arrive.

The process blocks when one pipe is full, so reading one of them reads all.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator, Sequence
from types import TracebackType

from pipeline.ffmpeg.process import FfmpegProcess
from pipeline.ffmpeg.start import enlarge


class OutputPipes:
    """One pipe for each output, whose frames all have the same size; use as a context manager."""

    def __init__(self, frame_bytes: Sequence[int]) -> None:
        """For outputs with frames of these sizes, at least one."""
        self._frame_bytes = frame_bytes
        self._open: set[int] = set()
        self._read_ends: list[int] = []
        self.write_ends: list[int] = []
        """For the process, until `read` is called."""

    def __enter__(self) -> OutputPipes:
        for _ in self._frame_bytes:
            read_end, write_end = os.pipe()
            self._open |= {read_end, write_end}
            self._read_ends.append(read_end)
            self.write_ends.append(write_end)
            enlarge(read_end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in list(self._open):
            self._close(number)

    @property
    def urls(self) -> list[str]:
        """Of the outputs, for ffmpeg."""
        return [f"pipe:{number}" for number in self.write_ends]

    def read(self, run: FfmpegProcess) -> Iterator[tuple[int, bytearray]]:
        """(number of the output, frame) as they arrive, until the process has closed all outputs.

        An incomplete frame at the end is left out.
        """
        for write_end in self.write_ends:
            # Only the process writes, so the pipe ends with it.
            self._close(write_end)
        frames = [bytearray(size) for size in self._frame_bytes]
        filled = [0] * len(frames)
        with selectors.DefaultSelector() as selector:
            for number, read_end in enumerate(self._read_ends):
                selector.register(read_end, selectors.EVENT_READ, number)
            while selector.get_map():
                with run.awaited():
                    ready = selector.select()
                for key, _ in ready:
                    number = key.data
                    with memoryview(frames[number]) as view:
                        count = os.readv(key.fd, [view[filled[number] :]])
                    filled[number] += count
                    if not count:
                        selector.unregister(key.fd)
                    elif filled[number] == len(frames[number]):
                        yield number, frames[number]
                        frames[number], filled[number] = bytearray(len(frames[number])), 0

    def _close(self, number: int) -> None:
        if number in self._open:
            self._open.remove(number)
            os.close(number)
