"""Processes and threads of a loader, chosen by the machine."""

from __future__ import annotations

import pytest

from trainer.loader.config import StreamConfig, loader_shape


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


def test_only_what_is_to_be_chosen_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    given = StreamConfig(num_processes=3, num_threads=5)
    assert given.fitted(64, 1) is given
    chosen = StreamConfig(num_processes=-1).fitted(96, 8)
    assert (chosen.num_processes, chosen.num_threads) == (6, 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    here = StreamConfig(num_processes=-1).on_this_machine()
    assert (here.num_processes, here.num_threads) == (1, 1)
