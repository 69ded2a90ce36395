from __future__ import annotations

import pytest
import torch

from trainer.evaluate.embeddings import EmbeddedClips
from trainer.study.similarity import NUM_BINS, similarities


def embedded(video: torch.Tensor, audio: torch.Tensor, movie: list[int]) -> EmbeddedClips:
    place = torch.arange(len(movie))
    return EmbeddedClips(video, audio, video, audio, place, torch.tensor(movie))


def test_kinds_by_hand() -> None:
    video = torch.eye(4)[[0, 1, 2, 0]]
    audio = torch.eye(4)[[0, 0, 2, 0]]
    start_ns = torch.tensor([0, 6, 36, 0]) * 1_000_000_000
    found = similarities(embedded(video, audio, [0, 0, 0, 1]), start_ns, ["a", "b", "a", None])
    means = {one.kind: (one.mean, one.num_pairs) for one in found}
    assert means["positive"] == (pytest.approx(3 / 4), 4)
    # Gaps of exactly 6 and 30 seconds belong to the farther kind.
    assert "same movie, less than 6 s apart" not in means
    assert means["same movie, 6 to 30 s apart"] == (pytest.approx(1 / 2), 2)
    assert means["same movie, 30 s apart or more"] == (0.0, 4)
    assert means["other movie"] == (pytest.approx(3 / 6), 6)
    assert means["same movie, same class"] == (0.0, 2)
    assert means["same movie, other class"] == (pytest.approx(1 / 4), 4)
    # The clip of the other movie has no label: it says nothing about classes.
    assert "other movie, same class" not in means


def test_shares_add_up_and_hold_the_ends() -> None:
    video = torch.eye(2)
    found = similarities(embedded(video, -video, [0, 1]), torch.zeros(2, dtype=torch.int64), None)
    by_kind = {one.kind: one for one in found}
    assert set(by_kind) == {"positive", "other movie"}
    assert len(by_kind["positive"].shares) == NUM_BINS
    assert by_kind["positive"].shares[0] == 1.0
    assert sum(by_kind["other movie"].shares) == pytest.approx(1.0)
