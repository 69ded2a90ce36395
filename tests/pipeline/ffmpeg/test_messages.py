"""Messages of ffmpeg's threads that share a line are all noticed."""

from __future__ import annotations

import os
import re
import threading
from fractions import Fraction
from unittest.mock import ANY

import pytest

from pipeline.audio.soundtrack import _ASHOWINFO
from pipeline.errors import DecodeError
from pipeline.ffmpeg.messages import separate
from pipeline.ffmpeg.stderr import StderrReader
from pipeline.video.reports.decoder_log import DecoderLog
from pipeline.video.reports.entry_proof import _DEMUXED
from pipeline.video.reports.run_report import _CHOSEN

CORRUPT = "[mpegts @ 0x55] [warning] Packet corrupt (stream = 1, dts = 342294)"
AUDIO = (
    "n:83 pts:157356 pts_time:3.568163 fmt:flt channels:1 chlayout:mono rate:44100 "
    "nb_samples:1152 checksum:2D0C331A "
)
PLANES = ("plane_checksums: [ ", "2D0C331A ", "]")
DECODED = (
    "decoder -> ist_index:0:0 type:video best_effort_ts:900 best_effort_ts_time:0.01 keyframe:0 "
    "frame_type:2 "
)
DEMUXED = "demuxer -> ist_index:0:0 type:video pkt_pts:3600 pkt_pts_time:0.04 pkt_dts:3600"
CHOSEN = "encoder <- type:video frame_pts:7 frame_pts_time:1.4 time_base:1/5"
#: Of each report: its text, its prefix at the start of a line, and the pattern that reads it.
REPORTS = [
    (AUDIO, "[Parsed_ashowinfo_2 @ 0x7f] ", _ASHOWINFO),
    (DECODED, "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [info] ", None),
    (DEMUXED, "[vist#0:0/h264 @ 0x1] [info] ", _DEMUXED),
    (CHOSEN, "[vost#0:0/rawvideo @ 0x1] [info] ", _CHOSEN),
]


def read(*lines: str, url: str = "movie.ts") -> tuple[list[str], StderrReader]:
    """The messages that a reader passes on from a real pipe."""
    seen: list[str] = []
    output, end = os.pipe()
    data = "".join(f"{line}\n" for line in lines).encode()
    writer = threading.Thread(target=lambda: (os.write(end, data), os.close(end)))
    writer.start()
    with open(output, "rb") as stream:
        reader = StderrReader(stream, url, seen.append)
        reader.join()
    writer.join()
    return seen, reader


@pytest.mark.parametrize(("report", "prefix", "pattern"), REPORTS)
def test_a_report_after_an_unfinished_message_is_not_missed(
    report: str, prefix: str, pattern: re.Pattern[str] | None
) -> None:
    del prefix  # Only the start of a line has one.
    seen, reader = read(CORRUPT + report, "[mpegts @ 0x55] [warning] .")
    assert seen == [CORRUPT, report.strip(), "[mpegts @ 0x55] [warning] ."]
    assert pattern is None or pattern.search(seen[1])
    assert "Packet corrupt" in reader.tail
    assert "pts" not in reader.tail


@pytest.mark.parametrize("num_pieces", range(len(PLANES)))
@pytest.mark.parametrize("prefix", ["[Parsed_ashowinfo_2 @ 0x7f] ", ""])
def test_an_error_between_the_pieces_of_a_report_is_not_missed(
    num_pieces: int, prefix: str
) -> None:
    begun = prefix + AUDIO + "".join(PLANES[:num_pieces])
    error = "Error: Cannot allocate memory"
    seen, reader = read(begun + error, "[Parsed_ashowinfo_2 @ 0x7f] " + PLANES[-1])
    assert error in seen
    assert sum(_ASHOWINFO.search(line) is not None for line in seen) == 1
    assert reader.tail == error
    assert reader.lacked_memory


@pytest.mark.parametrize(("report", "prefix", "pattern"), REPORTS)
def test_a_report_alone_is_one_message(
    report: str, prefix: str, pattern: re.Pattern[str] | None
) -> None:
    assert pattern is None or pattern.search(report)
    line = (prefix + report + ("".join(PLANES) if report is AUDIO else "")).encode()
    assert separate(line) == [line]
    assert not read(line.decode())[1].tail


def test_an_error_that_shares_a_line_with_a_frame_counts_as_damage() -> None:
    """Otherwise a damaged movie would depend on the threads of the machine."""
    log = DecoderLog("h264", 0, Fraction(90_000), is_vfr=False)
    later = DECODED.replace("900", "4500")
    for line in read("Stream mapping:", DECODED, CORRUPT + later)[0]:
        log.note(line)
    assert len(log.frames) == 2
    assert not log.has_no_errors(2)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Stream mapping:",
        "  Stream #0:1 -> #0:0 (mp2 (mp2float) -> pcm_f32le (native))",
        "[h264 @ 0x1] error while decoding MB 3 4, bytestream -> 7",
        "[h264 @ 0x1] Reinit context to 160x96, pix_fmt: yuv420p, n:3",
        "frame=  10 fps=0.0 q=-0.0 size=N/A time=00:00:01 -> x",
    ],
)
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert separate(line.encode()) == [line.encode()]


PACKET = "[vist#0:0/h264 @ 0x7f2a] [info] demuxer+ffmpeg -> ist_index:0:0 type:video pkt_pts:33792"
MUXED = (
    "[vost#0:0/rawvideo @ 0x7f2] [info] muxer <- pts:8 pts_time:1.6 size:87552 "
    "latency(total:96.405ms, demux-decode: 68.742ms/71%, decode 5.808ms/6%)"
)
FILTERED = "[fc#0 @ 0x7f2] [vo0->#0:0 @ 0x7f2] [info] filter_raw -> pts:9 pts_time:1.8"


@pytest.mark.parametrize(
    "line",
    [
        PACKET,
        MUXED,
        FILTERED,
        "[enc:rawvideo @ 0x7f] [info] encoder -> type:video pkt_pts:8 pkt_pts_time:1.6",
    ],
)
def test_reports_that_nobody_reads_are_not_passed_on(line: str) -> None:
    assert read(line) == ([], ANY)


@pytest.mark.parametrize(
    "line",
    [
        f"[h264 @ 0x1] [error] {PACKET}",
        f"{PACKET} error while decoding MB 3 4",
        f"{PACKET} [h264 @ 0x1] [error] top block unavailable",
        f"{FILTERED} Packet corrupt",
        MUXED.replace("decode 5.808ms", "corrupt (stream = 1) 5.808ms") + " Packet corrupt",
        MUXED.replace("[info]", "[warning]"),
        MUXED.removeprefix("[vost#0:0/rawvideo @ 0x7f2] "),
    ],
)
def test_what_shares_a_line_with_them_is_passed_on(line: str) -> None:
    assert "".join(read(line)[0]).split() == line.split()


#: What classifies a run as out of memory, too large, unreadable, or lacking a decoder.
WORDS = (
    "Cannot allocate memory; get_buffer() failed",
    "1 exceeds max_streams",
    "Invalid data found when processing input",
    "no decoder",
    "Protocol not found",
)


@pytest.mark.parametrize("words", WORDS)
def test_what_a_movie_says_of_itself_is_no_problem(words: str) -> None:
    """ffmpeg lists the movie's own texts when it opens it, and they may have line breaks."""
    report = "encoder <- type:video frame_pts:7 frame_pts_time:1.4 time_base:1/5"
    lines = (
        "[info] Input #0, mov, from 'movie.ts':",
        f"[info]     title           : {words}",
        f"                    : {words}",
        f"{words}",
        "Input #0",
        "Stream mapping:",
        f"{report}",
        f"[info]     description     : {'x' * 70_000} {words}",
    )
    seen, reader = read(*lines)
    assert seen == []
    assert not reader.lacked_memory
    assert not reader.is_too_large
    assert not reader.lacks_decoder
    assert type(reader.error("", lacked_memory=reader.lacked_memory)) is DecodeError
    # Errors are none of it, and nothing is after it.
    for line in (f"[h264 @ 0x55] [error] {words}", f"[info] Stream mapping:\n{words}"):
        _, reader = read(*lines, line)
        assert type(reader.error("", lacked_memory=reader.lacked_memory)) is not DecodeError
    seen, _ = read(*lines, "[info] Stream mapping:", report)
    assert seen == ["[info] Stream mapping:", report]


@pytest.mark.parametrize("words", WORDS)
def test_what_a_movies_file_is_called_is_no_problem(words: str) -> None:
    _, reader = read(
        f"[in#0 @ 0x1] [error] Error opening input file:/{words * 50}.ts",
        url=f"file:/{words * 50}.ts",
    )
    assert type(reader.error("", lacked_memory=reader.lacked_memory)) is DecodeError
