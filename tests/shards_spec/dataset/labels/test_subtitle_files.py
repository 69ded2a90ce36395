"""SubRip and WebVTT as they are found: broken numbers, tags, encodings, missing lines."""

from __future__ import annotations

import pytest

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.subtitle_files import Cue, read_cues
from shards_spec.errors import InputError

SRT = """1
00:00:01,500 --> 00:00:03,000
Good <i>evening</i>,
{\\an8}Mr. <font color="#ffffff">Bond</font>.

2
01:00:00,000 --> 01:00:02,250 X1:10 X2:20
Tom &amp; Jerry
"""

VTT = """WEBVTT - a title
Kind: captions

NOTE this is not
shown

STYLE
::cue { color: red }

intro
00:01.500 --> 00:03.000 align:start
Good <b.loud>evening</b>, <v Fred>Mr. Bond.

01:00:00.000 --> 01:00:02.250
Tom &amp; Jerry
"""

CUES = [
    Cue(1_500_000_000, 3_000_000_000, "Good evening, Mr. Bond."),
    Cue(3_600_000_000_000, 3_602_250_000_000, "Tom & Jerry"),
]


def read(data: bytes, encoding: str = "") -> tuple[list[Cue], dict[str, int]]:
    found = Findings()
    cues = read_cues(data, "heat.srt", found, encoding)
    return cues, {item.reason: item.number for item in found.all()}


@pytest.mark.parametrize("text", [SRT, VTT], ids=["srt", "vtt"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_cues_without_markup(text: str, ends: str, encoding: str) -> None:
    assert read(text.replace("\n", ends).encode(encoding)) == (CUES, {})


def test_cues_without_numbers_or_empty_lines_between_them() -> None:
    text = (
        "0:0:1.5-->0:0:3.0\none\n2\n00:00:04,000 -> 00:00:05,000\ntwo\n00:00:06,0 --> 00:00:07,5\n"
    )
    cues, found = read(f"{text}three".encode())
    assert [(cue.start_ns / 1e9, cue.end_ns / 1e9, cue.text) for cue in cues[:1]] == [
        (1.5, 3, "one")
    ]
    assert cues[-1] == Cue(6_000_000_000, 7_500_000_000, "three")
    assert found == {}


def test_broken_cues_are_counted_and_the_others_kept() -> None:
    text = """1
00:00:05,000 --> 00:00:03,000
ends before it starts

2
00:99:05,000 --> 00:99:06,000
no such minute

3
00:00:01 --> 00:00:02
no fraction

4
00:00:07,000 --> 00:00:08,000
<i></i>

5
00:00:09,000 --> 00:00:10,000
fine
"""
    cues, found = read(text.encode())
    assert [cue.text for cue in cues] == ["no fraction", "fine"]
    assert found == {"bad_time": 2, "nothing": 1}


@pytest.mark.parametrize("data", [b"", b"\n\n\n", b"just some words\n", b"WEBVTT\n\nNOTE x\n"])
def test_files_without_cues_are_counted(data: bytes) -> None:
    assert read(data) == ([], {"unreadable": 1})


def test_other_encodings_are_guessed_and_said_so_or_named() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nÜber café\n"
    cues, found = read(text.encode("cp1252"))
    assert [cue.text for cue in cues] == ["Über café"]
    assert found == {"guessed_encoding": 1}
    cyrillic = text.replace("Über café", "Привет")
    cues, found = read(cyrillic.encode("cp1251"), "cp1251")
    assert [cue.text for cue in cues] == ["Привет"]
    assert found == {}
    with pytest.raises(InputError, match=r"heat.srt line 3: byte .* is not ascii"):
        read(text.encode(), "ascii")


def test_bytes_that_are_no_text_are_counted() -> None:
    assert read(bytes(range(256)) * 20) == ([], {"unreadable": 1})
