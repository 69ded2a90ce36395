"""Retrieval in cases small enough to compute by hand, mainly ties and directions."""

from __future__ import annotations

import math

import pytest
import torch

from shards_spec.errors import InputError
from trainer.runs.scoring import retrieval as module
from trainer.runs.scoring.probes import fit_logistic, linear_probe
from trainer.runs.scoring.retrieval import (
    Ranks,
    Scores,
    global_ranks,
    median_rank,
    recall_at,
    retrieval,
    scores,
    within_movie_ranks,
)


def ranks(better: list[int], tied: list[int], size: list[int]) -> Ranks:
    return Ranks(torch.tensor(better), torch.tensor(tied), torch.tensor(size))


def on_circle(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane."""
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack((angles.cos(), angles.sin()), dim=1)


def test_perfect_views_are_found_at_rank_one() -> None:
    views = torch.eye(4)
    for result in retrieval(views, views, torch.tensor([0, 0, 1, 1])):
        assert result.over_clips == Scores(r1=1, r5=1, r10=1, median_rank=1)
        assert result.over_movies == Scores(r1=1, r5=1, r10=1, median_rank=1)


def test_global_ranks_by_hand() -> None:
    # Query at 0 degrees, candidates at 30, 10, 20: its own is the farthest of the three.
    found = global_ranks(on_circle(0, 10, 200), on_circle(30, 10, 20))
    assert found.num_better.tolist() == [2, 0, 2]
    assert found.num_tied.tolist() == [0, 0, 0]
    assert found.gallery_size.tolist() == [3, 3, 3]


def test_within_movie_ranks_see_only_their_movie() -> None:
    video, audio = on_circle(0, 10, 200, 90), on_circle(30, 10, 20, 0)
    found = within_movie_ranks(video, audio, torch.tensor([5, 2, 5, 2]))
    # Movie 5: clips 0 and 2, candidates at 30 and 20. Movie 2: clips 1 and 3, at 10 and 0.
    assert found.num_better.tolist() == [1, 0, 1, 1]
    assert found.gallery_size.tolist() == [2, 2, 2, 2]


def test_directions_are_not_mixed_up() -> None:
    # Every audio is nearest its own video; but video 1 is nearer to audio 0 than to its own.
    video, audio = on_circle(0, 20), on_circle(12, 50)
    found = {one.direction: one.over_clips.r1 for one in retrieval(video, audio, torch.zeros(2))}
    assert found == {"video_to_audio": 0.5, "audio_to_video": 0.5}
    video, audio = on_circle(0, 20), on_circle(11, 170)
    by_way = {one.direction: one.over_clips.r1 for one in retrieval(video, audio, torch.zeros(2))}
    # Videos both prefer audio 0. Audio 0 (11) prefers video 1 (20); audio 1 prefers video 1.
    assert by_way == {"video_to_audio": 0.5, "audio_to_video": 0.5}
    video, audio = on_circle(0, 20), on_circle(9, 170)
    by_way = {one.direction: one.over_clips.r1 for one in retrieval(video, audio, torch.zeros(2))}
    assert by_way == {"video_to_audio": 0.5, "audio_to_video": 1.0}


def test_ties_share_a_rank() -> None:
    same = torch.ones(4, 1)
    found = global_ranks(same, same)
    assert found.num_better.tolist() == [0] * 4
    assert found.num_tied.tolist() == [3] * 4
    assert recall_at(found, 1) == 0.25
    assert recall_at(found, 3) == 0.75
    assert recall_at(found, 10) == 1.0
    assert median_rank(found) == 2.0


def test_ties_of_equal_vectors_are_ties_despite_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.nn.functional.normalize(torch.randn(1, 128, generator=generator), dim=1)
    found = global_ranks(one.expand(37, -1).contiguous(), one.expand(37, -1).contiguous())
    assert found.num_tied.tolist() == [36] * 37


def test_collapsed_model_scores_exactly_chance() -> None:
    movie = torch.tensor([0] * 3 + [1] * 7 + [2] * 12)
    same = torch.ones(22, 1)
    for result in retrieval(same, same, movie):
        assert result.over_clips == result.chance_over_clips
        assert result.over_movies == result.chance_over_movies


def test_chance_by_hand() -> None:
    movie = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1])
    generator = torch.Generator().manual_seed(0)
    views = torch.nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=1)
    within, everywhere = retrieval(views, views, movie)[:2]
    assert (within.gallery, everywhere.gallery) == ("within_movie", "global")
    # Two clips guess among 2, six among 6.
    assert within.chance_over_clips.r1 == pytest.approx((2 * 1 / 2 + 6 * 1 / 6) / 8)
    assert within.chance_over_movies.r1 == pytest.approx((1 / 2 + 1 / 6) / 2)
    assert within.chance_over_clips.r5 == pytest.approx((2 * 1 + 6 * 5 / 6) / 8)
    assert everywhere.chance_over_clips.r1 == pytest.approx(1 / 8)
    # P(rank <= 2) = (2 * 1 + 6 * 2/6) / 8 = 1/2; P(rank <= 1) = 1/4.
    assert within.chance_over_clips.median_rank == 2.0
    assert everywhere.chance_over_clips.median_rank == 4.0
    assert within.mean_gallery_size == pytest.approx((2 * 2 + 6 * 6) / 8)


def test_a_movie_of_one_clip_is_left_out_within_but_not_globally() -> None:
    views = torch.eye(3)
    within, everywhere = retrieval(views, views, torch.tensor([0, 0, 1]))[:2]
    assert (within.num_queries, within.num_movies) == (2, 1)
    assert (everywhere.num_queries, everywhere.num_movies) == (3, 2)
    alone = retrieval(torch.eye(2), torch.eye(2), torch.tensor([0, 1]))
    assert [one.gallery for one in alone] == ["global", "global"]


def test_means_over_movies_weight_movies_equally() -> None:
    # Movie 0: both clips wrong. Movie 1: all four right.
    video = torch.cat((torch.eye(6)[[1, 0]], torch.eye(6)[2:]))
    within = retrieval(video, torch.eye(6), torch.tensor([0, 0, 1, 1, 1, 1]))[0]
    assert within.over_clips.r1 == pytest.approx(4 / 6)
    assert within.over_movies.r1 == pytest.approx(1 / 2)


def test_scores_by_hand() -> None:
    found = scores(ranks([0, 4, 9, 20], [0, 0, 0, 0], [40] * 4))
    assert found == Scores(r1=0.25, r5=0.5, r10=0.75, median_rank=5.0)


def test_chunks_do_not_change_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    video, audio = torch.randn(2, 23, 5, generator=generator)
    whole = global_ranks(video, audio)
    monkeypatch.setattr(module, "MAX_SCORES", 4 * 23)
    pieces = global_ranks(video, audio)
    assert torch.equal(whole.num_better, pieces.num_better)
    assert torch.equal(whole.num_tied, pieces.num_tied)


def test_fitted_weights_equal_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(120, 5, generator=generator, dtype=torch.float64)
    label = (features[:, 0] + 0.7 * torch.randn(120, generator=generator) > 0).long()
    label += (features[:, 1] > 1).long()
    weights, bias = fit_logistic(features, label, num_classes=3, l2=1e-2)
    # scikit-learn sums the losses that we average: C = 1 / (l2 * clips).
    reference = linear_model.LogisticRegression(C=1 / (1e-2 * 120), tol=1e-8, max_iter=1000)
    reference.fit(features.numpy(), label.numpy())
    expected = torch.from_numpy(reference.predict_proba(features.numpy()))
    found = (features @ weights.T + bias).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_probe_finds_a_signal_and_scores_chance_without_one() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(200) % 4
    telling = torch.eye(4)[label] + 0.01 * torch.randn(200, 4, generator=generator)
    found = linear_probe(telling[:100], label[:100], telling[100:], label[100:])
    assert (found.accuracy, found.chance, found.num_classes) == (1.0, 0.25, 4)
    mute = torch.ones(200, 3)
    silent = linear_probe(mute[:100], label[:100], mute[100:], label[100:])
    assert silent.accuracy == pytest.approx(0.25)


def test_probe_chance_is_the_most_common_evaluated_class() -> None:
    fit_label, judge_label = torch.tensor([0, 1]), torch.tensor([1, 1, 1, 0])
    found = linear_probe(torch.eye(2), fit_label, torch.eye(2)[judge_label], judge_label)
    assert (found.accuracy, found.chance) == (1.0, 0.75)
    assert (found.num_train_clips, found.num_eval_clips) == (2, 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("num_bad", [1, 6])
def test_non_finite_embeddings_are_rejected(value: float, num_bad: int) -> None:
    """All of them NaN once scored R@1 = 1, because no comparison with NaN is true."""
    good = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    bad = good.clone()
    bad[:num_bad, 0] = value
    movie = torch.tensor([0, 0, 0, 1, 1, 1])
    with pytest.raises(InputError, match=f"{num_bad} audio embeddings are NaN or infinite"):
        retrieval(good, bad, movie)
    with pytest.raises(InputError, match=f"{num_bad} video embeddings are NaN or infinite"):
        retrieval(bad, good, movie)
    label = torch.tensor([0, 1, 0, 1, 0, 1])
    with pytest.raises(InputError, match=f"{num_bad} training clips of a probe"):
        linear_probe(bad, label, good, label)
    with pytest.raises(InputError, match=f"{num_bad} evaluation clips of a probe"):
        linear_probe(good, label, bad, label)
