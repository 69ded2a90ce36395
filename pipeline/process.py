"""Runs one ffmpeg or ffprobe: bounded, watched, and never left behind.

Every run has its own process group that is killed on the way out (and when this process dies), no
standard input, a bounded stderr tail, a wall-clock limit, a no-progress limit and a memory limit.
Every input goes through a protocol and a demuxer whitelist, whoever composed the command: a
playlist that lies in a corpus must not open other files or the network.
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

from pipeline import limits, watchdog
from pipeline.errors import (
    DecodeError,
    KilledError,
    MediaError,
    NoDecoderError,
    OutOfMemoryError,
    TimedOutError,
    TooLargeError,
    UnreadableError,
)

#: Demuxers that read one self-contained file. No playlists, no scripts, no image sequences.
DEMUXERS = (
    "aac,ac3,asf,avi,dts,dv,eac3,flac,flv,gxf,h264,hevc,ivf,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,roq,smk,truehd,vob,wav,wtv"
)

#: Options that every input gets.
INPUT_OPTIONS = ("-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS)

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
    r"Cannot allocate memory|Out of memory|std::bad_alloc|Failed to allocate", re.I
)


def input_url(path: str) -> str:
    """A local path as ffmpeg must be given it: never read as a protocol or an option."""
    return f"file:{path}"


class Run:
    """One running ffmpeg whose stdout is read by the caller. Use as a context manager.

    `cpu_seconds` holds the user and system time of the process once it has ended.
    """

    def __init__(
        self,
        command: list[str],
        *,
        what: str,
        wall_seconds: float,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start `command`; `what` names movie and part in errors; `on_line` gets stderr lines.

        It may take `wall_seconds`, and no more than `limits.current()` allows.
        """
        self.what = what
        self.cpu_seconds = 0.0
        self.returncode: int | None = None
        inputs = [word for word in command if word.startswith("file:")]
        self._input = f"{inputs[0]}: " if inputs else "\0"
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_line = on_line
        self._started = self._progress = time.monotonic()
        self._timed_out = ""
        self._done = threading.Event()
        bounds = limits.current()
        self._wall_seconds = min(wall_seconds, 3600 * bounds.ffmpeg_hours)
        self._no_progress_seconds = bounds.no_progress_seconds
        self._process = subprocess.Popen(
            guarded(command, bounds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        watchdog.watch(self._process.pid)
        _limit_memory(self._process.pid, bounds)
        self._stderr = threading.Thread(target=self._read_stderr, daemon=True)
        self._watch = threading.Thread(target=self._watch_clock, daemon=True)
        self._stderr.start()
        self._watch.start()

    def __enter__(self) -> Run:
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
        self._progress = time.monotonic()
        self._raise_if_timed_out()
        return data if len(data) == size else None

    def read_some(self, size: int) -> bytes:
        """Up to `size` bytes of stdout; empty at its end."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        self._progress = time.monotonic()
        self._raise_if_timed_out()
        return data

    def lines(self) -> Iterator[bytes]:
        """The lines of stdout, without their ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._progress = time.monotonic()
            yield line.rstrip(b"\r\n")
        self._raise_if_timed_out()

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
        self._raise_if_timed_out()
        assert self.returncode is not None
        if self.returncode < 0:
            name = signal.Signals(-self.returncode).name
            raise KilledError(f"{self.what}: ffmpeg was killed by {name}; is memory short?")
        if _TOO_LARGE.search(self.stderr_tail):
            raise self.error("not all of it was read")
        short = self.returncode and _NO_MEMORY.search(self.stderr_tail)
        if self.returncode and (short or not tolerate_errors):
            raise self.error(f"exit status {self.returncode}")

    def error(self, found: str) -> MediaError:
        """The error that fits the stderr tail."""
        self._stderr.join(timeout=5)
        tail = self.stderr_tail
        message = f"{self.what}: {found}; {tail or 'ffmpeg said nothing'}"
        if _TOO_LARGE.search(tail):
            return TooLargeError(f"{message}; raise --max-side or --max-streams if it is genuine")
        if _NO_MEMORY.search(tail):
            return OutOfMemoryError(f"{message}; raise --ffmpeg-memory-gib if the film is genuine")
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
            watchdog.unwatch(self._process.pid)
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
                # Addresses differ from run to run, and the path is known: neither helps.
                self._tail.append(_ADDRESS.sub("", line).replace(self._input, ""))

    def _watch_clock(self) -> None:
        while not self._done.wait(0.5):
            now = time.monotonic()
            if now - self._started > self._wall_seconds:
                self._timed_out = f"over the limit of {self._wall_seconds:g} s"
            elif now - self._progress > self._no_progress_seconds:
                self._timed_out = f"no output for {self._no_progress_seconds:g} s"
            if self._timed_out:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return

    def _raise_if_timed_out(self) -> None:
        if self._timed_out:
            raise TimedOutError(
                f"{self.what}: ffmpeg was stopped: {self._timed_out}; see --no-progress-seconds "
                "and --ffmpeg-hours"
            )


def guarded(command: list[str], bounds: limits.Limits) -> list[str]:
    """`command` with the options that bind every input, right before each `-i`."""
    safe = [
        *INPUT_OPTIONS,
        *("-max_streams", str(bounds.max_streams)),
        *("-max_pixels", str(min(bounds.max_side**2, 2**31 - 1))),
    ]
    words = []
    for word in command:
        words += [*safe, word] if word == "-i" else [word]
    if bounds.ffmpeg_memory_gib:
        largest = min(int(bounds.ffmpeg_memory_gib * limits.GIB), 2**31 - 1)
        words[1:1] = ["-max_alloc", str(largest)]
    return words


def _limit_memory(pid: int, bounds: limits.Limits) -> None:
    """Cap a child's address space, where the system can do that from outside (Linux)."""
    if bounds.ffmpeg_memory_gib and hasattr(resource, "prlimit"):
        size = int(bounds.ffmpeg_memory_gib * limits.GIB)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
