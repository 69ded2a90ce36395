"""What ffmpeg writes to stderr: read by a thread, kept as a bounded tail, classified at the end."""

from __future__ import annotations

import io
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.errors import (
    DecodeError,
    MovieError,
    NoDecoderError,
    OutOfMemoryError,
    TooLargeError,
    UnreadableError,
)
from pipeline.ffmpeg.memory import MemoryReports
from pipeline.ffmpeg.messages import separate
from shards_spec.redaction import plain

_TAIL_LINES = 30
_LINE_BYTES = 1 << 14
#: What is kept of a line.
_LINE_CHARACTERS = 1000
_NO_DECODER = re.compile(
    r"decoder .* not found|no decoder|Decoding requested, but no decoder|"
    r"doesn't support hardware accelerated .* decoding",
    re.I,
)
#: Progress lines and reports on frames and packets, which are not about errors.
_PROGRESS = ("frame=", "size=", "[showinfo@", "[Parsed_")
_REPORT = re.compile(r"\w (->|<-) \S*(pts|type|ist_index):|n:\d+ pts:\S+ pts_time:")
#: Reports of `-debug_ts` that repeat others, or that nobody reads: most lines of a run, and nothing
#: else on the line.
_UNREAD = re.compile(
    rb"(?:\[[^\]@]*+@ 0x[0-9a-f]++\] )++\[info\] "
    rb"(?:demuxer\+[a-z]++ ->|filter(?:_raw)? ->|encoder ->|muxer <-)(?: [a-z_]++:[-+/\w.:]++)++ *+"
    rb"(?:latency\([^\[)]*+\))?\s*+"
)
#: What all of them, and few other lines, contain.
_MAYBE_UNREAD = (b" demuxer+", b"] filter", b"] encoder -> ", b"] muxer <- ")
#: ffmpeg's listing of its input is from here to there: information, and what the movie says of
#: itself, which may have line breaks. Errors have a level, and are none of it.
_LISTING, _MAPPING = b"[info] Input #", b"[info] Stream mapping:"
_PROBLEM = re.compile(rb"(?:\[[^\]@]*+@ 0x[0-9a-f]++\] )*+\[(?:warning|error|fatal|panic)\] ")
_BLOCK_BYTES = 1 << 16
#: How long lines collect in the pipe, unless somebody waits for one.
_PAUSE_SECONDS = 0.02
_ADDRESS = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] *|\[(?:info|warning|error|fatal)\] ")
_UNREADABLE = re.compile(
    r"Invalid data found when processing input|moov atom not found|Format not on whitelist|"
    r"not on whitelist|EBML header parsing failed|could not find codec parameters",
    re.I,
)
_TOO_LARGE = re.compile(r"exceeds max_streams|exceeds specified max pixel count", re.I)


class StderrReader:
    """Reads a process's stderr until it ends."""

    def __init__(
        self, stream: io.BufferedReader, url: str, on_line: Callable[[str], None] | None = None
    ) -> None:
        """Start reading `stream`; `url` is removed from the tail, `on_line` gets every line.

        Messages that share a line are separated first; see `messages`.
        """
        self._stream = stream
        self._url = url
        self._on_line = on_line
        self._memory = MemoryReports()
        self._is_opening = True
        """Whether the listing of the input may still come, or has not ended."""
        self._is_listing = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._changed = threading.Condition()
        self._has_ended = False
        self._is_awaited = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def tail(self) -> str:
        """The last lines that are not progress, reports or listed, joined by ` | `."""
        return " | ".join(self._tail)

    @property
    def lacked_memory(self) -> bool:
        """Whether an allocation failed, even if ffmpeg continued: its output may lack frames."""
        return self._memory.lacked

    @property
    def has_errors(self) -> bool:
        """Whether there was an error; see `MemoryReports`."""
        return self._memory.has_errors

    @property
    def lacks_decoder(self) -> bool:
        """Whether this build of ffmpeg reported that it cannot decode the codec."""
        return _NO_DECODER.search(self.tail) is not None

    @property
    def is_too_large(self) -> bool:
        """Whether ffmpeg stopped reading at a limit."""
        return _TOO_LARGE.search(self.tail) is not None

    def wait_until(self, has_arrived: Callable[[], bool]) -> bool:
        """Wait until `on_line` has made `has_arrived` true; false if stderr ended before."""
        if has_arrived():
            return True
        self._is_awaited.set()
        with self._changed:
            self._changed.wait_for(lambda: has_arrived() or self._has_ended)
        self._is_awaited.clear()
        return has_arrived()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of stderr."""
        self._is_awaited.set()
        self._thread.join(timeout)

    def error(self, message: str, *, lacked_memory: bool) -> MovieError:
        """The error that fits the tail; `message` says what failed, and where."""
        message = f"{message}; {self.tail or 'no output on stderr'}"
        if self.is_too_large:
            return TooLargeError(f"{message}; raise --max-side or --max-streams if it is genuine")
        if lacked_memory:
            return OutOfMemoryError(f"{message}; raise --ffmpeg-memory-gib if the movie is genuine")
        if "Protocol not found" in self.tail:
            return NoDecoderError(
                f"{message}; this ffmpeg was built without network support: set FFMPEG_BINARY and "
                "FFPROBE_BINARY to another build, or use --sources staged"
            )
        if self.lacks_decoder:
            return NoDecoderError(f"{message}; set FFMPEG_BINARY to a build with this decoder")
        if _UNREADABLE.search(self.tail):
            return UnreadableError(f"{message}; the file is corrupt or not a movie")
        return DecodeError(message)

    def _read(self) -> None:
        try:
            rest = b""
            while block := self._stream.read1(_BLOCK_BYTES):
                # ffmpeg writes lines in pieces: reading many at once costs less.
                self._is_awaited.wait(_PAUSE_SECONDS)
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                if len(rest) >= _LINE_BYTES:
                    lines.append(rest)
                    rest = b""
                self._note_all(lines)
            self._note_all([rest] if rest else [])
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _note_all(self, lines: Sequence[bytes]) -> None:
        """Process lines in order, then notify waiting threads once."""
        with self._changed:
            for raw in lines:
                if _is_unread(raw) or (self._is_opening and self._is_listed(raw)):
                    continue
                # The rest of a longer line counts as a line of its own.
                for begin in range(0, len(raw) or 1, _LINE_BYTES):
                    for message in separate(raw[begin : begin + _LINE_BYTES]):
                        self._note(message.decode("utf-8", "replace").strip())
            self._changed.notify_all()

    def _is_listed(self, line: bytes) -> bool:
        """Whether a line is of the listing of the input, where the movie's own texts may look like
        any report. Nothing is reported before it ends. (The output has no texts: `WITHOUT_TEXTS`.)
        """
        if self._is_listing:
            self._is_opening = self._is_listing = not line.startswith(_MAPPING)
        else:
            self._is_listing = line.startswith(_LISTING)
        return self._is_listing and _PROBLEM.match(line) is None

    def _note(self, line: str) -> None:
        if line and not _is_report(line):
            problem = self._without_url(line)[:_LINE_CHARACTERS]
            self._tail.append(plain(_ADDRESS.sub("", problem)))
            self._memory.note(problem)
        if self._on_line is not None:
            self._on_line(line[:_LINE_CHARACTERS])

    def _without_url(self, line: str) -> str:
        """A line without the address that the movie is read at, which may say anything."""
        return line.replace(f"{self._url}: ", "").replace(self._url, "the source")


def _is_unread(line: bytes) -> bool:
    for part in _MAYBE_UNREAD:
        if part in line:
            return _UNREAD.fullmatch(line) is not None
    return False


def _is_report(line: str) -> bool:
    """Whether a line is about progress, frames or packets, not about errors."""
    if line.startswith(_PROGRESS):
        return True
    may_be = " -> " in line or " <- " in line or line.startswith("n:")
    return may_be and _REPORT.search(line) is not None
