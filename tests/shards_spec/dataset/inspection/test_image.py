"""Images: valid PNG files, frames in reading order, a perceptually uniform color map."""

import struct
import zlib

import numpy as np
import pytest

from shards_spec.dataset.inspection.images import (
    best_columns,
    color_map,
    draw_logmel,
    encode_png,
    tile_frames,
)


def decode_png(data: bytes) -> np.ndarray:
    """The inverse of `encode_png`, written from the PNG specification."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        body = data[position + 4 : position + 8 + length]
        assert struct.unpack(">I", data[position + 8 + length :][:4]) == (zlib.crc32(body),)
        chunks[body[:4]] = body[4:]
        position += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_png_round_trip():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(decode_png(encode_png(image)), image)


def test_frames_are_tiled_in_reading_order():
    frames = np.stack([np.full((16, 16, 3), 10 * n + 50, np.uint8) for n in range(6)])
    image = tile_frames(frames)
    assert image.shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    assert image[8::18, 8::18, 0][:2, :3].tolist() == [[50, 60, 70], [80, 90, 100]]


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "columns"),
    [(16, 128, 224, 4), (16, 224, 128, 8), (1, 16, 16, 1), (7, 16, 16, 7), (32, 128, 128, 8)],
)
def test_columns(num_frames, height, width, columns):
    assert best_columns(num_frames, height, width) == columns


def test_luminance_of_colors_rises_evenly():
    colors = color_map(np.linspace(0.0, 1.0, 64)).astype(float)
    luma = colors @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) > 0).all()
    assert luma[0] < 20
    assert luma[-1] > 220


def test_low_frequencies_are_at_the_bottom():
    logmel = np.full((4, 6), -10.0, np.float16)
    logmel[0] = 0.0
    image = draw_logmel(logmel, scale=2)
    assert image.shape == (8, 12, 3)
    assert image[-1].mean() > image[0].mean()


def test_silence_can_be_drawn():
    assert draw_logmel(np.full((2, 2), -23.0, np.float16)).shape == (8, 8, 3)
