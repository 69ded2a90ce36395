"""Graphics cards: whatever fails there is decoded on the CPU, with the same clips.

No test needs a card. ffmpeg is replaced by a script that behaves like one with a card that works,
cannot be opened, or fails in the middle; the frames come from the real ffmpeg.
"""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import numpy as np
import pytest

from benchmarks.decoding import nvdec
from pipeline.config import RunConfig
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.hardware import device_problem
from pipeline.movie.rows import decoding_columns
from pipeline.plan.movie_plan import PlacedPlan
from pipeline.video.segment import VideoSegment, fits
from shards_spec.errors import InputError
from tests.support.films.media import Film, make_film
from tests.support.films.oracle import decoded_segments, plan_of
from tests.support.samples import mostly_slow

#: Arguments without those for the card, then what a kind of card does with them.
_SCRIPT = """#!/bin/bash
real={real}
case " $* " in
  *" -hwaccels "*) echo "Hardware acceleration methods:"; echo {known}; exit 0;;
  *" -init_hw_device "*) {opened}; exec "$real" -version;;
esac
card=""; rest=()
while [ $# -gt 0 ]; do
  if [ "$1" = -hwaccel ]; then card=$2; shift 2; else rest+=("$1"); shift; fi
done
if [ -n "$card" ]; then echo "$card" >> {log}; {decoded}; fi
exec "$real" "${{rest[@]}}"
"""
#: Some frames, then the end.
_BREAKS_OFF = '"$real" "${rest[@]}" | head -c 100000; exit 1'
#: All frames, after a report before the first one, as when ffmpeg continues without the card.
_REPORTS = (
    '"$real" "${rest[@]}" 2> >(sed "/Stream mapping/a [h264 @ 0x1] [error] Failed setup" >&2)'
    "; wait; exit 0"
)
#: Killed by the system.
_DIES = "kill -SEGV $$"


@pytest.fixture(scope="module", params=mostly_slow(["libx264", "libx265"], ("libx264",)))
def movie(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    video = ("-c:v", request.param, "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2")
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_film(path, Film(seconds=6, gop=25, video=video))


def card(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    known: str = "cuda",
    opened: str = ":",
    decoded: str = ":",
) -> Path:
    """Use an ffmpeg with such a card; returns the file that counts its decoding runs."""
    log = folder / "runs"
    program = folder / "ffmpeg"
    text = _SCRIPT.format(real=ffmpeg_path(), known=known, opened=opened, decoded=decoded, log=log)
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FFMPEG_BINARY", str(program))
    return log


def on_card(plan: PlacedPlan) -> PlacedPlan:
    return dataclasses.replace(plan, hardware="cuda")


def same(
    first: list[tuple[VideoSegment, np.ndarray]], second: list[tuple[VideoSegment, np.ndarray]]
) -> bool:
    """Whether frames, times, cuts and damage are equal."""
    return all(
        np.array_equal(a, b)
        and np.array_equal(x.pts_ns, y.pts_ns)
        and np.array_equal(x.luma_sum, y.luma_sum)
        and (x.cut_steps, x.damaged_steps) == (y.cut_steps, y.damaged_steps)
        for (x, a), (y, b) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    ("failure", "reason", "num_runs"),
    [
        ({"known": "vaapi"}, "built without cuda", 0),
        ({"opened": 'echo "no CUDA-capable device" >&2; exit 1'}, "no CUDA-capable", 0),
        ({"decoded": _BREAKS_OFF}, "reported", 1),
        ({"decoded": _REPORTS}, "reported", 1),
        ({"decoded": _DIES}, "killed by SIGSEGV", 1),
    ],
    ids=["build", "device", "middle", "report", "death"],
)
def test_what_fails_on_a_card_is_decoded_on_the_cpu(
    movie: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: dict[str, str],
    reason: str,
    num_runs: int,
) -> None:
    plan = plan_of(movie)
    expected = decoded_segments(plan)
    log = card(tmp_path, monkeypatch, **failure)
    found = decoded_segments(on_card(plan))
    assert same(found, expected)
    row = decoding_columns(plan, [segment for segment, _ in found])
    assert (row["decode_device"], row["hardware_fallbacks"]) == ("cpu", len(found))
    assert reason in row["hardware_problem"]
    runs = log.read_text().split() if log.exists() else []
    assert runs == ["cuda"] * num_runs * len(found)


def test_a_card_that_works_decodes_every_segment(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(movie, seconds=2)
    expected = decoded_segments(plan)
    log = card(tmp_path, monkeypatch)
    found = decoded_segments(on_card(plan))
    assert len(found) > 1
    assert same(found, expected)
    row = decoding_columns(plan, [segment for segment, _ in found])
    assert (row["decode_device"], row["hardware_fallbacks"]) == ("cuda", 0)
    assert row["hardware_problem"] == ""
    assert log.read_text().split() == ["cuda"] * len(found)


def test_only_what_is_certain_goes_to_a_card(movie: Path) -> None:
    plan = on_card(plan_of(movie))
    assert fits(plan)
    others = [
        dataclasses.replace(plan.probe.video, codec="mpeg2video"),
        dataclasses.replace(plan.probe.video, pixel_format="yuv420p10le"),
        dataclasses.replace(plan.probe.video, field_order="tt"),
    ]
    probes = [dataclasses.replace(plan.probe, video=video) for video in others]
    probes.append(dataclasses.replace(plan.probe, lost_ns=1))
    for probe in probes:
        assert not fits(dataclasses.replace(plan, probe=probe))
    assert not fits(dataclasses.replace(plan, is_fast=True))


def test_the_real_ffmpeg_answers_for_an_unknown_device() -> None:
    assert "built without" in device_problem("no_such_device")


def test_fast_mode_excludes_cards() -> None:
    with pytest.raises(InputError, match="choose one"):
        RunConfig(decode="fast", hwaccel="cuda")


def test_the_benchmark_ends_where_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(tmp_path, monkeypatch, known="vaapi")
    monkeypatch.setattr("sys.argv", ["nvdec", "--movie", "none.mp4"])
    with pytest.raises(SystemExit, match="built without cuda"):
        nvdec.main()
