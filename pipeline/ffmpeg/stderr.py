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
#: What ffmpeg says for information, not about a problem: it may quote the movie.
_INFORMATION = re.compile(rb"(?:\[[^\]@]*+@ 0x[0-9a-f]++\] )*+\[(?:info|verbose|debug)\] ")
#: How a listing of the input begins, and what follows it.
_LISTING, _MAPPING = b"Input #", b"Stream mapping:"
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
        """Whether the input may still be listed."""
        self._address_lines = 0
        """Lines to come of the address in the listing: that of a local file may have several."""
        self._is_quoting = False
        """Whether the current line is information: all of it is."""
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._changed = threading.Condition()
        self._has_ended = False
        self._is_awaited = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def tail(self) -> str:
        """The last lines about problems, joined by ` | `."""
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
            rest, is_cut = b"", False
            while block := self._stream.read1(_BLOCK_BYTES):
                # ffmpeg writes lines in pieces: reading many at once costs less.
                self._is_awaited.wait(_PAUSE_SECONDS)
                lines = (rest + block).split(b"\n")
                rest, was_cut, is_cut = lines.pop(), is_cut, False
                if len(rest) >= _LINE_BYTES:
                    lines.append(rest)
                    rest, is_cut = b"", True
                elif not lines:
                    is_cut = was_cut
                self._note_all(lines, is_rest=was_cut)
            self._note_all([rest] if rest else [], is_rest=is_cut)
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _note_all(self, lines: Sequence[bytes], *, is_rest: bool) -> None:
        """Process lines in order, then notify waiting threads once.

        With `is_rest` the first one continues the last one of the lines before.
        """
        with self._changed:
            for number, raw in enumerate(lines):
                if _is_unread(raw):
                    continue
                if number or not is_rest:
                    self._is_quoting = False
                if self._is_opening and self._is_listed(raw, is_rest=is_rest and not number):
                    continue
                # The rest of a longer line counts as a line of its own.
                for begin in range(0, len(raw) or 1, _LINE_BYTES):
                    for message in separate(raw[begin : begin + _LINE_BYTES]):
                        self._note(message)
            self._changed.notify_all()

    def _is_listed(self, line: bytes, *, is_rest: bool) -> bool:
        """Whether a line is of ffmpeg's listing of its input, which quotes the movie's texts.

        They may look like any report, and nothing is reported before the listing has ended. (That
        of the output quotes nothing: `WITHOUT_TEXTS`.)
        """
        information = _INFORMATION.match(line)
        line = line[information.end() :] if information else line
        if is_rest or self._address_lines:
            self._address_lines -= not is_rest
            return True
        if line.startswith(_LISTING):
            self._address_lines = self._url.count("\n")
            return True
        self._is_opening = not line.startswith(_MAPPING)
        return line[:1].isspace()

    def _note(self, message: bytes) -> None:
        line = message.decode("utf-8", "replace").strip()
        if line and not _is_report(line):
            self._is_quoting = self._is_quoting or _is_information(message)
            if not self._is_quoting:
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


def _is_information(message: bytes) -> bool:
    """Whether a message is no problem, whatever it says: information, or a line of ffmpeg's listing
    of what it has opened. That quotes the movie's own texts, such as its title, and is indented."""
    return message[:1].isspace() or _INFORMATION.match(message) is not None


def _is_report(line: str) -> bool:
    """Whether a line is about progress, frames or packets, not about errors."""
    if line.startswith(_PROGRESS):
        return True
    may_be = " -> " in line or " <- " in line or line.startswith("n:")
    return may_be and _REPORT.search(line) is not None
