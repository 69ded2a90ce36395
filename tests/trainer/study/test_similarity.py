from __future__ import annotations

import pytest
import torch

from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.study import similarity
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
    # Gaps of exactly 6 and 30 seconds belong to the more distant kind.
    assert "same movie, less than 6 s apart" not in means
    assert means["same movie, 6 to 30 s apart"] == (pytest.approx(1 / 2), 2)
    assert means["same movie, 30 s apart or more"] == (0.0, 4)
    assert means["other movie"] == (pytest.approx(3 / 6), 6)
    assert means["same movie, same class"] == (0.0, 2)
    assert means["same movie, other class"] == (pytest.approx(1 / 4), 4)
    # The clip of the other movie has no label, so it does not count for classes.
    assert "other movie, same class" not in means


def test_shares_sum_to_one_and_include_the_end_values() -> None:
    video = torch.eye(2)
    found = similarities(embedded(video, -video, [0, 1]), torch.zeros(2, dtype=torch.int64), None)
    by_kind = {one.kind: one for one in found}
    assert set(by_kind) == {"positive", "other movie"}
    assert len(by_kind["positive"].shares) == NUM_BINS
    assert by_kind["positive"].shares[0] == 1.0
    assert sum(by_kind["other movie"].shares) == pytest.approx(1.0)


@pytest.mark.parametrize("max_pairs", [1, 40, 90, 1000])
def test_blocks_of_rows_do_not_change_the_histograms(
    max_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    video, audio = torch.nn.functional.normalize(torch.randn(2, 30, 8, generator=generator), dim=2)
    clips = embedded(video, audio, [number // 7 for number in range(30)])
    start_ns = torch.arange(30) * 4_000_000_000
    labels = ["a" if number % 3 else None for number in range(30)]
    whole = similarities(clips, start_ns, labels)
    monkeypatch.setattr(similarity, "MAX_PAIRS", max_pairs)
    blocks = similarities(clips, start_ns, labels)
    assert [item.kind for item in blocks] == [item.kind for item in whole]
    assert [item.num_pairs for item in blocks] == [item.num_pairs for item in whole]
    assert [item.shares for item in blocks] == [item.shares for item in whole]
    assert [item.mean for item in blocks] == pytest.approx([item.mean for item in whole])
    positive, others = video * audio, video @ audio.T
    assert whole[0].mean == pytest.approx(float(positive.sum(dim=1).mean()), abs=1e-6)
    other_movie = next(item for item in whole if item.kind == "other movie")
    is_other = clips.movie[:, None] != clips.movie[None, :]
    assert other_movie.mean == pytest.approx(float(others[is_other].mean()), abs=1e-6)


def test_many_clips_are_subsampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "MAX_CLIPS", 10)
    video = torch.eye(25)
    found = similarities(embedded(video, video, [0] * 25), torch.zeros(25, dtype=torch.int64), None)
    assert found[0].num_pairs == 9, "every third of 25"
