"""Decoders of torchcodec as items: the same frames and samples as those that ffmpeg reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelshards.board.items import audio_item, video_item
from shards_spec.recipe import Recipe
from tests.support.films.media import Film, make_film

try:
    from torchcodec.decoders import AudioDecoder, VideoDecoder
except (ImportError, OSError, RuntimeError) as error:
    pytest.skip(f"needs torchcodec, which cannot be loaded: {error}", allow_module_level=True)

try:
    VideoDecoder(b"not a movie")
except (ValueError, TypeError):
    pass
except RuntimeError as error:
    if "Could not load libtorchcodec" in str(error):
        pytest.skip("needs the shared libraries of FFmpeg", allow_module_level=True)

RECIPE = Recipe(num_frames=4, fps=5, short_side=112)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mkv", Film(seconds=3.0, gop=25))


def test_a_decoder_yields_the_frames_of_the_file(film: Path) -> None:
    theirs = video_item(VideoDecoder(str(film)), RECIPE, None)
    ours = video_item({"path": str(film), "bytes": None}, RECIPE, None)
    assert theirs.num_steps == ours.num_steps == 15
    steps = np.arange(15)
    difference = np.abs(theirs.read(steps).astype(int) - ours.read(steps)).mean(axis=(1, 2, 3))
    # Only the conversion to RGB differs; another frame of the film differs by its number.
    assert difference.max() < 4
    assert difference.max() < np.abs(ours.read(steps[:-1]).astype(int) - ours.read(steps[1:])).max()


def test_a_decoder_yields_the_samples_of_the_file(film: Path) -> None:
    theirs = audio_item(AudioDecoder(str(film)), RECIPE)
    ours = audio_item({"path": str(film), "bytes": None}, RECIPE)
    assert abs(len(theirs) - len(ours)) < 100
    length = min(len(theirs), len(ours))
    np.testing.assert_allclose(theirs[:length], ours[:length], atol=1e-3)


def test_a_file_without_its_end_repeats_its_last_frame(film: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    data = film.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    video = video_item(VideoDecoder(str(cut), seek_mode="approximate"), RECIPE, None)
    frames = video.read(np.arange(video.num_steps))
    assert len(frames) == video.num_steps >= 1
