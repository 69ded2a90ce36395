"""Crops, and windows on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.sample import encode_strip
from trainer.transfer import Protocol, Windows
from trainer.transfer.views import WindowStore, square_crops

RECIPE = Recipe(num_frames=2, short_side=16)


def pixels(height: int, width: int) -> torch.Tensor:
    """(1, H, W, 3) with the row and the column as colors."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns, rows), dim=2)[None].to(torch.uint8)


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((8, 20), [(0, 0), (0, 6), (0, 12)]),
        ((20, 8), [(0, 0), (6, 0), (12, 0)]),
        ((11, 20), [(1, 0), (1, 6), (1, 12)]),
        ((8, 8), [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_crops_are_along_the_longer_side(
    size: tuple[int, int], corners: list[tuple[int, int]]
) -> None:
    crops = square_crops(pixels(*size), 8, 3)
    assert crops.shape == (3, 1, 8, 8, 3)
    assert [tuple(crop[0, 0, 0, :2].tolist()) for crop in crops] == corners
    [middle] = square_crops(pixels(*size), 8, 1)
    torch.testing.assert_close(middle, crops[1])


def test_windows_are_decoded_once(tmp_path: Path) -> None:
    calls = []

    def read(path: Path, num_windows: int, video: bool, audio: bool) -> Windows:
        calls.append((path.name, num_windows, video, audio))
        frames = np.full((2, 16, 32, 3), 10 * len(calls), np.uint8)
        strips = (encode_strip(frames, 90), encode_strip(frames + 5, 90))
        logmel = np.full((2, 3, 4), len(calls), np.float16)
        return Windows(strips if video else None, logmel if audio else None)

    file = tmp_path / "clip.mp4"
    file.write_bytes(b"1")
    store = WindowStore(tmp_path / "cache", RECIPE, read, 2, video=True, audio=True)
    first, again = store.get(file), store.get(file)
    assert len(calls) == 1
    assert first.strips == again.strips
    np.testing.assert_array_equal(first.logmel, again.logmel)
    assert len(again) == 2
    assert again.frames(2, 1).float().mean() == pytest.approx(15, abs=2)
    # Another modality, another recipe, another file: other windows.
    no_audio = dataclasses.replace(store, audio=False).get(file)
    assert no_audio.logmel is None
    dataclasses.replace(store, recipe=Recipe(num_frames=2, short_side=32)).get(file)
    file.write_bytes(b"22")
    store.get(file)
    assert len(calls) == 4
    # A damaged file of the cache is made again.
    for stored in (tmp_path / "cache").iterdir():
        stored.write_bytes(stored.read_bytes()[:100])
    store.get(file)
    store.get(file)
    assert len(calls) == 5


def test_settings_are_checked() -> None:
    for wrong in (
        {"crops": 2}, {"windows": 0}, {"neighbors": 0}, {"temperature": 0.0}, {"inner_folds": 1},
        {"epochs": 0}, {"batch_size": 1}, {"lr": float("nan")}, {"seeds": 0}, {"probes": ()},
        {"probes": ("knn", "knn")}, {"modalities": ("smell",)},
    ):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong)).replace("_", "-")):
            Protocol(**wrong)  # type: ignore[arg-type]
    assert Protocol().modalities_of("esc50") == ("audio",)
    assert Protocol(modalities=("both",)).modalities_of("esc50") == ("both",)
