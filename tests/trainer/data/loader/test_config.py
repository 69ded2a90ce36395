"""Processes and threads of a loader, chosen by the machine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.sample import decode_strip, encode_strip
from trainer.data.loader import cuda_decode
from trainer.data.loader.config import StreamConfig, loader_shape


@pytest.mark.parametrize(
    ("num_cores", "ranks_per_node", "shape"),
    [(1, 1, (1, 1)), (2, 1, (1, 1)), (3, 1, (1, 2)), (4, 1, (2, 2)), (16, 1, (8, 2)),
     (64, 1, (8, 2)), (96, 8, (6, 2)), (128, 8, (8, 2)), (16, 8, (1, 1)), (4, 8, (1, 1))],
)  # fmt: skip
def test_shape(num_cores: int, ranks_per_node: int, shape: tuple[int, int]) -> None:
    assert loader_shape(num_cores, ranks_per_node) == shape


def test_ranks_together_have_no_more_threads_than_cores() -> None:
    for num_cores in range(1, 200):
        for ranks in range(1, num_cores + 1):
            processes, threads = loader_shape(num_cores, ranks)
            assert ranks * processes * threads <= num_cores, (num_cores, ranks)


def test_only_unset_values_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    given = StreamConfig(num_processes=3, num_threads=5)
    assert given.fitted(64, 1) is given
    chosen = StreamConfig(num_processes=-1).fitted(96, 8)
    assert (chosen.num_processes, chosen.num_threads) == (6, 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    here = StreamConfig(num_processes=-1).on_this_machine()
    assert (here.num_processes, here.num_threads) == (1, 1)


def test_decoding_on_a_gpu_is_rejected_if_it_cannot_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = StreamConfig(decode="cuda", num_processes=2, frame_size=16)
    with pytest.raises(InputError, match=r"--stream\.num-processes 0"):
        config.check(Recipe())
    config = dataclasses.replace(config, num_processes=0)
    monkeypatch.setattr(cuda_decode.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install torchvision"):
        config.check(Recipe())


def test_decoding_on_a_gpu_takes_all_cores_for_threads() -> None:
    config = StreamConfig(decode="cuda", num_processes=-1).fitted(16, 4)
    assert (config.num_processes, config.num_threads) == (0, 4)


@pytest.mark.gpu
def test_pixels_decoded_on_a_gpu_are_close() -> None:
    """Smooth frames, because chroma is interpolated differently at sharp edges."""
    pytest.importorskip("torchvision")
    frames = np.zeros((4, 64, 96, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    frames[..., 0], frames[..., 1], frames[..., 2] = ramp, ramp[::-1], 128
    strip = memoryview(encode_strip(frames, 90))
    found = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    cuda_decode.decode_strip_on_cuda(strip, (4, 64, 96, 3), found, 8, 16)
    expected = decode_strip(strip, 4)[:, 8:40, 16:48]
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 12
    with pytest.raises(ValueError, match="is not"):
        cuda_decode.decode_strip_on_cuda(strip, (8, 64, 96, 3), found, 8, 16)
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own message
        cuda_decode.decode_strip_on_cuda(strip[:40], (4, 64, 96, 3), found, 8, 16)
