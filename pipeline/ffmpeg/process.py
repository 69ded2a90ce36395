"""One ffmpeg or ffprobe process: bounded, watched, and never left running.

Every process has its own process group, which is killed on exit (and when this process dies), no
standard input, a bounded stderr tail, a memory limit, and a limit on the time without output. As
long as it makes progress it may run for `ffmpeg_hours`, however large the movie or slow the disk.
`inputs` restricts what it may open. If a read of its source failed, its output is not trusted.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import cast

from pipeline.errors import KilledError, MovieError, TimedOutError, TooLargeError
from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.memory import is_tight
from pipeline.ffmpeg.start import enlarge, start
from pipeline.ffmpeg.stderr import StderrReader
from pipeline.limits import Limits
from pipeline.sources import Readable

#: How often the time limits are checked.
_CHECK_SECONDS = 0.5
#: A line of stdout describes one packet or frame, and is not longer than this.
MAX_LINE_BYTES = 1 << 16
#: How much of stdout is looked at in one go.
_BLOCK_BYTES = 1 << 16


class FfmpegProcess:
    """A running ffmpeg whose stdout is read by the caller. Use as a context manager.

    `cpu_seconds` is the user and system time of the process once it has ended.
    """

    def __init__(
        self,
        command: list[str],
        source: Readable,
        *,
        what: str,
        on_line: Callable[[str], None] | None = None,
        limits: Limits | None = None,
        pass_fds: Sequence[int] = (),
        decodes: bool = True,
    ) -> None:
        """Start `command`, which reads `source` and is bound by its limits.

        Args:
            command: program and arguments; the input comes from `inputs`.
            source: the open movie.
            what: movie and part, for error messages.
            on_line: called with each line of stderr, by another thread.
            limits: tighter ones than those of the source.
            pass_fds: open files that the process may use by their numbers.
            decodes: whether anything decoded is wanted; see `finish`.
        """
        self.what = what
        self._decodes = decodes
        self._limits = limits or source.limits
        self.cpu_seconds = 0.0
        self._resident_kib = 0
        self.returncode: int | None = None
        self._source = source
        self._began = time.monotonic()
        self._waiting_since: float | None = self._clock()
        """When the caller began to wait for output; None while it is busy with some."""
        self._timed_out = ""
        self._has_ended = threading.Event()
        self._process = start(command, self._limits, pass_fds)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        enlarge(self._process.stdout.fileno(), self._process.stderr.fileno())
        # Buffered, as `Popen` makes its pipes by default.
        self._stdout = cast(io.BufferedReader, self._process.stdout)
        stderr = cast(io.BufferedReader, self._process.stderr)
        self._stderr = StderrReader(stderr, source.url, on_line)
        self._watch = threading.Thread(target=self._watch_clock, daemon=True)
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
        # Not in place of another error.
        if kind is None or kind is GeneratorExit:
            self.require_memory()

    def read_exactly(self, size: int) -> bytes | None:
        """The next `size` bytes of stdout, or None if the stream ends before."""
        data = self.read_some(size)
        return data if len(data) == size else None

    def read_some(self, size: int) -> bytes:
        """Up to `size` bytes of stdout, fewer only at its end."""
        self._waiting_since = self._clock()
        data = self._stdout.read(size)
        self._waiting_since = None
        self._raise_if_stopped()
        return data

    def read_all(self, max_bytes: int) -> bytes:
        """All of stdout. Raises `TooLargeError` if that is more than `max_bytes`."""
        data = bytearray()
        self._waiting_since = self._clock()
        while block := self._stdout.read1(1 << 16):
            self._waiting_since = None
            data += block
            if len(data) > max_bytes:
                raise self._too_much(f"more than {max_bytes >> 20} MiB")
            self._waiting_since = self._clock()
        self._waiting_since = None
        self._raise_if_stopped()
        return bytes(data)

    def lines(self) -> Iterator[bytes]:
        """The lines of stdout, without their ends.

        Raises `TooLargeError` for a line of more than `MAX_LINE_BYTES`.
        """
        rest = b""
        self._waiting_since = self._clock()
        while block := self._stdout.read1(_BLOCK_BYTES):
            self._waiting_since = None
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if max(map(len, (rest, *lines))) >= MAX_LINE_BYTES:
                raise self._too_much(f"a line of more than {MAX_LINE_BYTES >> 10} KiB")
            for line in lines:
                yield line.rstrip(b"\r")
            self._waiting_since = self._clock()
        self._waiting_since = None
        if rest:
            yield rest.rstrip(b"\r")
        self._raise_if_stopped()

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """The caller waits for output that it reads itself; it may be stopped meanwhile."""
        self._waiting_since = self._clock()
        yield
        self._waiting_since = None
        self._raise_if_stopped()

    def wait_for_line(self, has_arrived: Callable[[], bool]) -> None:
        """Wait until `on_line` has made `has_arrived` true, for a line that ffmpeg has written."""
        if not self._stderr.wait_until(has_arrived):
            raise self.error("ffmpeg's frame report is missing")

    def finish(self, *, tolerate_errors: bool = False) -> None:
        """Wait for the end; raise the error that exit status and stderr indicate.

        With `tolerate_errors` a nonzero exit status is accepted: damaged movies cause one after
        their intact part. Death by a signal never is, nor lack of memory.
        """
        self.wait()
        if self._stderr.is_too_large:
            raise self.error("only a part was read")
        self.require_memory()
        if self.returncode and not tolerate_errors:
            raise self.error(f"exit status {self.returncode}")

    def wait(self) -> None:
        """Wait for the end. Raises `KilledError` if that is death by a signal."""
        self._waiting_since = self._clock()
        self._wait()
        self._raise_if_stopped()
        assert self.returncode is not None
        if self.returncode < 0:
            name = signal.Signals(-self.returncode).name
            problem = f"ffmpeg was killed by {name}; the node may be short of memory"
            raise KilledError(f"{self.what}: {problem}")

    def require_memory(self) -> None:
        """Raise `OutOfMemoryError` if a process that has ended lacked memory for what is wanted.

        A decoder leaves frames out then, whatever its exit status. Where nothing decoded is wanted,
        there may be no effect: ffmpeg also decodes some frames for itself, to know the streams.
        """
        if self.lacked_memory and (self._decodes or (self.returncode or 0) > 0):
            raise self.error(f"exit status {self.returncode}")

    @property
    def lacked_memory(self) -> bool:
        """Whether an allocation failed, or an error may come from that, once it has ended."""
        has_errors = (self.returncode or 0) > 0 or (self._decodes and self._stderr.has_errors)
        return self._stderr.lacked_memory or (has_errors and self.may_lack_memory)

    @property
    def may_lack_memory(self) -> bool:
        """Whether so little was left of its limit that nobody knows, once it has ended."""
        return is_tight(self._limits, self._resident_kib)

    def error(self, problem: str) -> MovieError:
        """The error that fits stderr, or that of the source if a read failed."""
        if self._source.failure:
            return self._source.failure
        self._stderr.join(timeout=5)
        return self._stderr.error(f"{self.what}: {problem}", lacked_memory=self.lacked_memory)

    def _too_much(self, output: str) -> TooLargeError:
        return TooLargeError(
            f"{self.what}: ffprobe printed {output} about it, so it is damaged or made to exhaust "
            "memory; remux it (ffmpeg -i IN -c copy OUT.mkv) if it is genuine"
        )

    @property
    def lacks_decoder(self) -> bool:
        """Whether this build of ffmpeg reported that it cannot decode the codec."""
        return self._stderr.lacks_decoder

    @property
    def has_messages(self) -> bool:
        """Whether anything but reports was on stderr, once it has ended."""
        return bool(self._stderr.tail)

    def stop(self) -> None:
        """Kill the process group if it still runs, and reap it."""
        self._has_ended.set()
        if self.returncode is None:
            self._kill()
            self._wait()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _wait(self) -> None:
        # Only wait4 reports the CPU time of exactly this child.
        if self.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self.returncode = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
            self._resident_kib = usage.ru_maxrss
            reaper.unwatch(self._process.pid)
        self._has_ended.set()
        self._stderr.join()
        self._watch.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _clock(self) -> float:
        """Seconds on a clock that stops while ffmpeg waits for the store."""
        return time.monotonic() - self._source.waited_seconds

    @property
    def _idle_seconds(self) -> float:
        """How long the caller has waited for output."""
        since = self._waiting_since
        return 0.0 if since is None else self._clock() - since

    def _watch_clock(self) -> None:
        limits = self._limits
        most_seconds = 3600 * limits.ffmpeg_hours
        while not self._has_ended.wait(_CHECK_SECONDS):
            if time.monotonic() - self._began > most_seconds:
                self._timed_out = f"over the limit of {most_seconds:g} s"
            elif self._idle_seconds > limits.no_progress_seconds:
                self._timed_out = f"no output for {limits.no_progress_seconds:g} s"
            if self._timed_out:
                self._kill()
                return

    def _raise_if_stopped(self) -> None:
        if self._source.failure:
            raise self._source.failure
        if self._timed_out:
            raise TimedOutError(
                f"{self.what}: ffmpeg was stopped: {self._timed_out}; see --no-progress-seconds "
                "and --ffmpeg-hours"
            )
