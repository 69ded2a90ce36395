"""Runs one ffmpeg or ffprobe: bounded, watched, and never left behind.

Every run has its own process group that is killed on the way out (and when this process dies), no
standard input, a bounded stderr tail, a wall-clock limit, a no-progress limit and a memory limit.
What it may open is bounded by `command`. When a read through a `window` failed, nothing that ffmpeg
gave is believed.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO

from pipeline.errors import (
    DecodeError,
    KilledError,
    MovieError,
    NoDecoderError,
    OutOfMemoryError,
    TimedOutError,
    TooLargeError,
    UnreadableError,
)
from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.inputs import environment, with_allocation_limit
from pipeline.limits import GIB, Limits
from pipeline.sources import Readable

_TAIL_LINES = 30
_NO_DECODER = re.compile(
    r"decoder .* not found|no decoder|Decoding requested, but no decoder|"
    r"doesn't support hardware accelerated .* decoding",
    re.I,
)
#: Progress, and what is asked for of frames and packets: no words of an error.
_REPORT = re.compile(
    r"^(frame=|size=|\[showinfo@|\[Parsed_)|\b\w+ (->|<-) \S*(pts|type|ist_index):"
)
_ADDRESS = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] *|\[(?:info|warning|error|fatal)\] ")
_UNREADABLE = re.compile(
    r"Invalid data found when processing input|moov atom not found|Format not on whitelist|"
    r"not on whitelist|EBML header parsing failed|could not find codec parameters",
    re.I,
)
_TOO_LARGE = re.compile(r"exceeds max_streams|exceeds specified max pixel count", re.I)
_NO_MEMORY = re.compile(
    r"Cannot allocate memory|Out of memory|std::bad_alloc|Failed to allocate|"
    # Of decoders, which then take the packet for a broken one.
    r"get_buffer\(\) failed",
    re.I,
)


class FfmpegProcess:
    """One running ffmpeg whose stdout is read by the caller. Use as a context manager.

    `cpu_seconds` holds the user and system time of the process once it has ended.
    """

    def __init__(
        self,
        command: list[str],
        source: Readable,
        *,
        what: str,
        wall_seconds: float,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start `command`; `what` names movie and part in errors; `on_line` gets stderr lines.

        It may take `wall_seconds`, and no more than the limits of `source` allow.
        """
        self.what = what
        self.cpu_seconds = 0.0
        self.returncode: int | None = None
        self._source = source
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        self._began = time.monotonic()
        self._started = self._progress = self._clock()
        self._timed_out = ""
        self._lacked_memory = False
        self._done = threading.Event()
        self._wall_seconds, self._most_seconds = wall_seconds, 3600 * source.limits.ffmpeg_hours
        self._no_progress_seconds = source.limits.no_progress_seconds
        self._process = subprocess.Popen(
            with_allocation_limit(command, source.limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment(),
        )
        reaper.watch(self._process.pid)
        _limit_memory(self._process.pid, source.limits)
        self._stderr = threading.Thread(target=self._read_stderr, daemon=True)
        self._watch = threading.Thread(target=self._watch_clock, daemon=True)
        self._stderr.start()
        self._watch.start()

    def __enter__(self) -> FfmpegProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def read_exactly(self, size: int) -> bytes | None:
        """The next `size` bytes of stdout, or None when the stream ends before."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        self._progress = self._clock()
        self._raise_if_stopped()
        return data if len(data) == size else None

    def read_some(self, size: int) -> bytes:
        """Up to `size` bytes of stdout; empty at its end."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        self._progress = self._clock()
        self._raise_if_stopped()
        return data

    def lines(self) -> Iterator[bytes]:
        """The lines of stdout, without their ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._progress = self._clock()
            yield line.rstrip(b"\r\n")
        self._raise_if_stopped()

    def wait_for_line(self, arrived: Callable[[], bool]) -> None:
        """Wait until the stderr reader has made `arrived` true; ffmpeg wrote the line already."""
        while not arrived() and self._stderr.is_alive():
            self._stderr.join(timeout=0.002)
        if not arrived():
            raise self.error("ffmpeg's frame report is missing")

    def finish(self, *, tolerate_errors: bool = False) -> None:
        """Wait for the end; raise what its exit status and stderr say.

        With `tolerate_errors` an exit status of ffmpeg's own is no error: damaged movies give one
        after their intact part. Death by a signal always is.
        """
        self._wait()
        self._raise_if_stopped()
        assert self.returncode is not None
        if self.returncode < 0:
            name = signal.Signals(-self.returncode).name
            raise KilledError(f"{self.what}: ffmpeg was killed by {name}; is memory short?")
        if _TOO_LARGE.search(self.stderr_tail):
            raise self.error("not all of it was read")
        if self.returncode and (self._lacked_memory or not tolerate_errors):
            raise self.error(f"exit status {self.returncode}")

    def error(self, found: str) -> MovieError:
        """The error that fits the stderr tail, or that of the source when it was not read well."""
        if self._source.failure:
            return self._source.failure
        self._stderr.join(timeout=5)
        tail = self.stderr_tail
        message = f"{self.what}: {found}; {tail or 'ffmpeg said nothing'}"
        if _TOO_LARGE.search(tail):
            return TooLargeError(f"{message}; raise --max-side or --max-streams if it is genuine")
        if self._lacked_memory:
            return OutOfMemoryError(f"{message}; raise --ffmpeg-memory-gib if the film is genuine")
        if "Protocol not found" in tail:
            return NoDecoderError(
                f"{message}; this ffmpeg was built without network: set FFMPEG_BINARY and "
                "FFPROBE_BINARY to another build, or give --sources staged"
            )
        if _NO_DECODER.search(tail):
            return NoDecoderError(f"{message}; set FFMPEG_BINARY to a build with this decoder")
        if _UNREADABLE.search(tail):
            return UnreadableError(f"{message}; the file is broken or no movie")
        return DecodeError(message)

    @property
    def lacks_decoder(self) -> bool:
        """Whether the stderr tail says that this build cannot decode the codec."""
        return _NO_DECODER.search(self.stderr_tail) is not None

    @property
    def stderr_tail(self) -> str:
        """The last lines that are not progress or frame reports, joined by ` | `."""
        return " | ".join(self._tail)

    def stop(self) -> None:
        """Kill the process group if it still runs, and collect everything."""
        self._done.set()
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._wait()

    def _wait(self) -> None:
        # wait4 alone tells the CPU time of exactly this child.
        if self.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self.returncode = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            reaper.unwatch(self._process.pid)
        self._done.set()
        self._stderr.join()
        self._watch.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read_stderr(self) -> None:
        stream: IO[bytes] | None = self._process.stderr
        assert stream is not None
        for raw in stream:
            line = raw.decode("utf-8", "replace").strip()[:1000]
            if self._on_line is not None:
                self._on_line(line)
            if line and not _REPORT.search(line):
                self._tail.append(self._plain(line))
                # Whatever it says after it: a film would be cut short in silence.
                self._lacked_memory |= _NO_MEMORY.search(line) is not None

    def _plain(self, line: str) -> str:
        """A line without what helps nobody: addresses in memory, and where the movie is read."""
        line = _ADDRESS.sub("", line)
        return line.replace(f"{self._source.url}: ", "").replace(self._source.url, "the source")

    def _clock(self) -> float:
        """Seconds of a clock that stands still while ffmpeg waits for the store."""
        return time.monotonic() - self._source.waited_seconds

    def _watch_clock(self) -> None:
        while not self._done.wait(0.5):
            now = self._clock()
            if time.monotonic() - self._began > self._most_seconds:
                self._timed_out = f"over the limit of {self._most_seconds:g} s"
            elif now - self._started > self._wall_seconds:
                self._timed_out = f"over the limit of {self._wall_seconds:g} s"
            elif now - self._progress > self._no_progress_seconds:
                self._timed_out = f"no output for {self._no_progress_seconds:g} s"
            if self._timed_out:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return

    def _raise_if_stopped(self) -> None:
        if self._source.failure:
            raise self._source.failure
        if self._timed_out:
            raise TimedOutError(
                f"{self.what}: ffmpeg was stopped: {self._timed_out}; see --no-progress-seconds "
                "and --ffmpeg-hours"
            )


def _limit_memory(pid: int, limits: Limits) -> None:
    """Cap a child's address space, where the system can do that from outside (Linux)."""
    if limits.ffmpeg_memory_gib and hasattr(resource, "prlimit"):
        size = int(limits.ffmpeg_memory_gib * GIB)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
