"""Files that were concatenated byte by byte: what ffmpeg cannot decode is counted as lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.probe import Probe, probe
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import NANOSECONDS
from tests.support.films.media import Film, make_film
from tests.support.films.opened import opened
from tests.support.films.oracle import everything, plan_of

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "5")
VP8 = ("-c:v", "libvpx", "-b:v", "300k", "-deadline", "realtime", "-cpu-used", "8")
WMV = ("-c:v", "wmv2", "-q:v", "5")
AAC, OPUS, FLAC, WMA = (("-c:a", name) for name in ("aac", "libopus", "flac", "wmav2"))
SMALL = {"width": 96, "height": 64, "gop": 25}
SECONDS = (2, 3)


def _quick(cases: dict[str, tuple[object, ...]], *names: str) -> list[object]:
    """Cases as parameters; only those named are in the default set."""
    slow = pytest.mark.slow
    return [name if name in names else pytest.param(name, marks=slow) for name in cases]


def _joined(folder: Path, suffix: str, *films: Film) -> Path:
    parts = [make_film(folder / f"{number}{suffix}", film) for number, film in enumerate(films)]
    path = folder / f"film{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _probe(path: Path) -> Probe:
    (movie,) = find_movies(str(path))
    return probe(movie, opened(movie), "en")


#: Name -> (ending, video, audio, further options).
STOPPING = {
    "chained ogg, vp8 and opus": (".ogg", VP8, OPUS, ()),
    "chained ogg, vp8 and flac": (".ogg", VP8, FLAC, ()),
    "mp4": (".mp4", X264, AAC, ()),
    "mp4, index in front": (".mp4", X264, AAC, ("-movflags", "+faststart")),
    "mov": (".mov", MPEG4, AAC, ()),
    "flv": (".flv", X264, (*AAC, "-ar", "44100"), ()),
    "wmv": (".wmv", WMV, WMA, ()),
}


@pytest.mark.parametrize("case", _quick(STOPPING, "chained ogg, vp8 and opus", "mp4", "flv"))
def test_parts_at_which_ffmpeg_stops_are_counted(case: str, tmp_path: Path) -> None:
    suffix, video, audio, extra = STOPPING[case]
    first, second = (
        Film(seconds=seconds, video=video, audio=audio, extra=extra, **SMALL) for seconds in SECONDS
    )
    path = _joined(tmp_path, suffix, first, second, second)
    found = _probe(path)
    assert found.duration_ns / NANOSECONDS == pytest.approx(2, abs=0.1)
    # In FLV the number is an estimate from the number of bytes.
    assert found.lost_ns / NANOSECONDS == pytest.approx(6, abs=1.0 if suffix == ".flv" else 0.1)
    assert _probe(tmp_path / f"1{suffix}").lost_ns == 0


#: Name -> (ending, encoders of both parts, sizes of both parts).
CONFIGURATIONS = {
    "h264, other size": (".mkv", X264, X264, (96, 128)),
    "h264, other coding tools": (".mkv", X264, (*X264, "-coder", "1", "-8x8dct", "1"), (96, 96)),
    "mpeg4, other size": (".mkv", MPEG4, MPEG4, (96, 128)),
    "vp8, other codec": (".webm", VP8, ("-c:v", "libvpx-vp9", "-cpu-used", "8"), (96, 96)),
}


@pytest.mark.parametrize("clock", ["again", pytest.param("continued", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", _quick(CONFIGURATIONS, "h264, other size"))
def test_matroska_parts_with_other_headers_are_lost(case: str, clock: str, tmp_path: Path) -> None:
    """ffmpeg would decode them with the configuration of the first part."""
    suffix, first, second, widths = CONFIGURATIONS[case]
    extra = ("-output_ts_offset", "4") if clock == "continued" else ()
    audio = OPUS if suffix == ".webm" else AAC
    films = [
        Film(seconds=4, video=first, audio=audio, width=widths[0], height=64, gop=25),
        Film(seconds=5, video=second, audio=audio, width=widths[1], height=64, extra=extra),
    ]
    path = _joined(tmp_path, suffix, *films)
    alone = everything(plan_of(tmp_path / f"0{suffix}"))
    found = _probe(path)
    assert found.lost_ns / NANOSECONDS == pytest.approx(5, abs=0.1)
    assert found.duration_ns / NANOSECONDS == pytest.approx(4, abs=0.1)
    for seconds in (1.7, 1000.0):
        assert everything(plan_of(path, seconds=seconds))[0:4] == alone[0:4]


def test_a_matroska_part_with_equal_headers_continues_the_movie(tmp_path: Path) -> None:
    extra = ("-output_ts_offset", "4")
    films = [Film(seconds=4, **SMALL), Film(seconds=5, extra=extra, **SMALL)]
    found = _probe(_joined(tmp_path, ".mkv", *films))
    assert found.lost_ns == 0
    assert found.duration_ns / NANOSECONDS == pytest.approx(9, abs=0.1)
