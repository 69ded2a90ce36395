"""`check-sync`: what it finds in movies with known faults, and how it reports them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.audio.timeline import AudioFrame, Piece
from pipeline.console.sync_chart import HEIGHT, WIDTH, draw_check
from pipeline.console.sync_check import SyncCheck, audio_clock, check_sync, overlaps_ns
from pipeline.console.sync_table import clock_time
from tests.support.films.beeps import FILM, beeping, flash_times, mux, picture, write_wav
from tests.support.films.media import Film, ffmpeg, make_film


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def faulty(folder: Path) -> Path:
    """Late by 0.7 s, drifting by 1000 ppm, 0.3 s missing at 6 s; with a commentary track."""
    wav = write_wav(folder / "s.wav", beeping(FILM.seconds, flash_times()))
    clock = ("-af", "atrim=start=0.7", "-c:a", "aac", "-bsf:a", "setts=ts=round(TS*1.001)")
    whole = mux(folder / "whole.mkv", picture(folder), wav, *clock)
    path = folder / "faulty.mkv"
    tracks = ("-map", "0", "-map", "0:a", "-metadata:s:a:1", "title=Commentary")
    drop = ("-bsf:a:0", "noise=drop='between(pts*tb,6,6.3)'")
    ffmpeg("-i", whole, *tracks, "-c", "copy", *drop, path)
    return path


@pytest.fixture(scope="module")
def check(faulty: Path) -> SyncCheck:
    return check_sync(str(faulty), "", -1)


def test_faults_are_found(check: SyncCheck) -> None:
    assert check.audio.start_ns == pytest.approx(0.7e9, abs=3e7)
    assert check.audio.drift_ppm == pytest.approx(1000, abs=60)
    assert check.drift_end_ms == pytest.approx(11, abs=1)
    (late, missing, *rest) = check.gaps_ns
    assert late == (0, check.audio.start_ns)
    assert missing[0] == pytest.approx(6.0e9, abs=3e7)
    assert missing[1] - missing[0] == pytest.approx(0.3e9, abs=5e7)
    assert all(end - start < 3e7 for start, end in rest)
    assert check.overlaps_ns == ()
    assert check.noise_ms < 0.6
    assert check.frame_distances_ms == (40.0, 40.0, 40.0)
    assert not check.probe.is_vfr
    assert [track.special for track in check.probe.other_audio] == ["commentary"]


def test_the_table_is_complete(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-sync", str(faulty)]) == 0
    text = capsys.readouterr().out
    for words in ("late", "ppm", "only main track", "commentary", "constant, 25.000", "filled"):
        assert words in text


def test_the_json_is_complete(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "check.png"
    assert main(["check-sync", str(faulty), "--json", "--out", str(drawn)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["audio"]["start_ms"] == pytest.approx(700, abs=30)
    assert len(found["audio"]["gaps"]) >= 2
    assert [track["chosen"] for track in found["tracks"]] == [True, False]
    assert found["video"]["frames"] == 300
    assert cv2.imread(str(drawn)).shape == (HEIGHT, WIDTH, 3)


def test_another_track_can_be_checked(faulty: Path) -> None:
    other = check_sync(str(faulty), "", 2)
    assert other.probe.audio.choice == "named by the corpus"
    assert len([gap for gap in other.gaps_ns if gap[1] - gap[0] > 1e8]) == 1


def test_the_chart_shows_gaps(check: SyncCheck) -> None:
    data = np.frombuffer(draw_check(check), dtype=np.uint8)
    drawn = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    strip = drawn[444, 96 : WIDTH - 24].astype(int)
    red = (strip[:, 0] > 180) & (strip[:, 2] < 100)
    assert red.mean() == pytest.approx(1.0 / 12.0, abs=0.02)


def test_variable_frame_rate(folder: Path) -> None:
    path = folder / "vfr.mkv"
    kept = "select='mod(floor(t),2)+not(mod(n,5))'"
    whole = make_film(folder / "whole.mp4", Film())
    ffmpeg("-i", whole, "-vf", kept, "-fps_mode", "vfr", "-c:a", "copy", path)
    found = check_sync(str(path), "", -1)
    assert found.probe.is_vfr
    assert found.frame_distances_ms[0] == pytest.approx(40)
    assert found.frame_distances_ms[2] == pytest.approx(200)


def test_unusable_input_has_exit_code_2(
    folder: Path, faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-sync", str(folder / "none.mkv")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["check-sync", str(folder)]) == 2
    assert "name one of them" in capsys.readouterr().err
    assert main(["check-sync", str(faulty), "--audio-track", "9"]) == 2
    assert "the audio streams of this file are 1, 2" in capsys.readouterr().err


def test_overlaps_and_clocks_of_made_up_pieces() -> None:
    pieces = [Piece(0, 1_000, 100, 1_000), Piece(1_000, 1_000, 900, 1_000)]
    assert overlaps_ns(pieces, 1_000) == ((900_000_000, 1_100_000_000),)
    frames = [AudioFrame(100, 1_000), AudioFrame(901, 500), AudioFrame(None, 500)]
    clock = audio_clock(frames, pieces, 1_000)
    assert clock.seconds.tolist() == [0.1, 0.9]
    assert clock.timestamp_ms.tolist() == [100, -99]
    assert clock.aligned_ms.tolist() == [100, -100]
    assert len(audio_clock([], [], 1_000).seconds) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.000"), (-0.5, "-0:00.500"), (59.9996, "1:00.000"), (3_723.4, "1:02:03.400")],
)
def test_times_are_formatted(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
