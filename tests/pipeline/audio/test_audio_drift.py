"""Audio whose clock runs faster or slower than that of the video is resampled to match it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.time_stretch import MARGIN, resample_piece
from tests.support.films.beeps import (
    FILM,
    beeping,
    check,
    flash_times,
    look,
    mux,
    picture,
    write_wav,
)
from tests.support.films.media import Film
from tests.support.samples import mostly_slow


@pytest.mark.parametrize("factor", mostly_slow([1.001, 0.999], (1.001,)))
@pytest.mark.parametrize(
    ("suffix", "audio"),
    [(".mkv", "flac"), pytest.param(".mp4", "aac", marks=pytest.mark.slow), (".ts", "aac")],
)
def test_drift_is_removed_by_resampling(
    factor: float, suffix: str, audio: str, folder: Path
) -> None:
    """The timestamps run 0.1 % faster or slower than the samples, as with two clocks."""
    times = [time / factor for time in flash_times()]
    own = write_wav(folder / "own-clock.wav", beeping(FILM.seconds, times))
    clock = ("-c:a", audio, "-bsf:a", f"setts=ts=round(TS*{factor})")
    path = mux(folder / f"drift-{factor}-{audio}{suffix}", picture(folder), own, *clock)
    found, count = check(path)
    assert count == 11
    assert found.report.drift_ppm == pytest.approx(1e6 * (factor - 1), abs=25)


@pytest.mark.slow
def test_drift_stays_below_a_millisecond_for_half_an_hour(tmp_path: Path) -> None:
    """A very inaccurate clock, and one whose error is so small that only a long movie shows it.

    Sound of 24 kHz: an error grows with the time, not with the number of samples.
    """
    film = Film(seconds=1800.0, fps=FILM.fps / 25, audio=(), flash_seconds=20.0)
    video, rate_hz = picture(tmp_path, film=film), 24_000
    for factor in (0.999, 1.00002):
        times = [time / factor for time in flash_times(film)]
        own = write_wav(tmp_path / "own.wav", beeping(film.seconds, times, rate_hz), rate_hz)
        clock = ("-c:a", "aac", "-bsf:a", f"setts=ts=round(TS*{factor})")
        path = mux(tmp_path / "film.mkv", video, own, *clock)
        found, count = check(path, look(path, film))
        assert count >= 89
        assert found.report.drift_ppm == pytest.approx(1e6 * (factor - 1), abs=5)


@pytest.mark.parametrize("change", [480, -480, 24, 1])
def test_resampling_interpolates_between_samples(change: int) -> None:
    count = 48_000
    position = np.arange(-MARGIN, count + MARGIN)
    source = np.sin(2 * np.pi * 1_000 / 48_000 * position).astype(np.float32)
    length = count + change
    wanted = np.sin(2 * np.pi * 1_000 / 48_000 * np.arange(length) * count / length)
    assert np.abs(resample_piece(source, length) - wanted).max() < 1e-4


def test_resampling_by_a_factor_of_one_changes_nothing() -> None:
    source = np.random.default_rng(1).standard_normal(1_000 + 2 * MARGIN).astype(np.float32)
    np.testing.assert_allclose(resample_piece(source, 1_000), source[MARGIN:-MARGIN], atol=1e-6)
