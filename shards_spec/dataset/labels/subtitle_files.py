"""Cues of SubRip (.srt) and WebVTT (.vtt) files. Broken cues are counted and left out."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.texts import FALLBACK, decoded
from shards_spec.errors import InputError

#: Characters of a cue that are kept.
MAX_CUE = 2_000

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-{{1,2}}>\s*{_TIME}(?:\s.*)?$")
_TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
#: Blocks of WebVTT that are not cues.
_OTHER_BLOCKS = ("NOTE", "STYLE", "REGION", "WEBVTT")


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown, by the file's own clock."""

    start_ns: int
    end_ns: int
    text: str


def read_cues(data: bytes, name: str, findings: Findings, encoding: str = "") -> list[Cue]:
    """Cues of a file, in its order.

    Files that are not UTF-8 are read as Windows-1252 unless `encoding` says otherwise, and counted.
    A file without any cue is counted as unreadable.
    """
    try:
        text = decoded(data, name, encoding)
    except InputError as error:
        if encoding:
            raise
        if b"\0" in data[:4096]:
            findings.add("unreadable", str(error))
            return []
        findings.add("guessed_encoding", name)
        text = data.decode(FALLBACK, "replace")
    cues = parse_cues(text, name, findings)
    if not cues:
        findings.add("unreadable", f"{name}: no cue with a time and a text")
    return cues


def parse_cues(text: str, name: str, findings: Findings) -> list[Cue]:
    """Cues of the text of a file: a line of times, then lines of text up to an empty one."""
    lines = re.split(r"\r\n|\r|\n", text)
    cues: list[Cue] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith(_OTHER_BLOCKS) and "-->" not in line:
            number = _end_of_block(lines, number)
            continue
        if not _is_times(line):
            continue
        times = _TIMES.match(line)
        first, number = number, _end_of_cue(lines, number)
        shown = _plain_text(lines[first:number])
        where = f"{name} line {first}: {line.strip()}"
        if times is None:
            findings.add("bad_time", where)
            continue
        start_ns, end_ns = _nanoseconds(times.groups()[:4]), _nanoseconds(times.groups()[4:])
        if start_ns < 0 or end_ns <= start_ns:
            findings.add("bad_time", where)
        elif not shown:
            findings.add("nothing", where)
        else:
            cues.append(Cue(start_ns, end_ns, shown))
    return cues


def _is_times(line: str) -> bool:
    """Whether a line begins a cue; with times that may be broken, or a shorter arrow."""
    return "-->" in line or _TIMES.match(line) is not None


def _end_of_block(lines: list[str], number: int) -> int:
    while number < len(lines) and lines[number].strip():
        number += 1
    return number


def _end_of_cue(lines: list[str], number: int) -> int:
    """The line after the last one of a cue; a file may lack empty lines between cues."""
    while number < len(lines) and lines[number].strip() and not _is_times(lines[number]):
        number += 1
    is_next = number < len(lines) and _is_times(lines[number])
    # The line before the times of the next cue is its number.
    return number - 1 if is_next and lines[number - 1].strip().isdecimal() else number


def _nanoseconds(parts: tuple[str | None, ...]) -> int:
    """Nanoseconds of hours, minutes, seconds and a fraction; -1 for impossible ones."""
    hours, minutes, seconds, fraction = parts
    assert minutes is not None
    assert seconds is not None
    if int(seconds) >= 60 or (hours is not None and int(minutes) >= 60):
        return -1
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return whole * 1_000_000_000 + int((fraction or "0").ljust(3, "0")) * 1_000_000


def _plain_text(lines: list[str]) -> str:
    """The words of a cue without markup, in one line."""
    words = html.unescape(_TAGS.sub("", " ".join(lines))).replace("\\N", " ").split()
    return " ".join(words)[:MAX_CUE]
