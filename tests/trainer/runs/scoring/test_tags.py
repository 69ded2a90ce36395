"""Clips with several labels each: which they have, precisions at ranks, and the probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from shards_spec.dataset.reader import Dataset
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.labels import read_labels
from trainer.runs.scoring.tags import has_tags, precisions, tag_probe


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_of_precisions_is_the_average_precision(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.standard_normal((50, 3))
    if seed == 3:
        scores = scores.round()  # many equal scores
    positive = random.random((50, 3)) < (0.1, 0.5, 0.9)
    found = precisions(torch.from_numpy(scores), torch.from_numpy(positive))
    assert not found[~torch.from_numpy(positive)].any()
    for at in range(3):
        expected = average_precision_score(positive[:, at], scores[:, at])
        assert float(found[:, at].sum()) / positive[:, at].sum() == pytest.approx(expected)


def _clips(dataset: Dataset, features: torch.Tensor) -> EmbeddedClips:
    rows = torch.arange(dataset.clips.num_rows)
    return EmbeddedClips(features, features, features, features, rows, torch.zeros_like(rows))


def test_clips_have_all_labels_that_cover_enough_of_them(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = make_toy_dataset(str(tmp_path / "data"), num_movies=1, clips_per_movie=3)
    clip = dataset.clips.select(["movie_id", "start_ns", "end_ns"]).to_pylist()
    begin = clip[1]["start_ns"] / 1e9
    table = tmp_path / "tags.csv"
    name = clip[0]["movie_id"]
    rows = [(0.0, 1000.0, "all"), (begin, begin + 0.26, "b"), (begin, begin + 0.2, "short")]
    rows += [(begin, begin + 0.13, "twice"), (begin + 0.2, begin + 0.33, "twice")]
    lines = [f"{name},{start},{stop},{label}" for start, stop, label in rows]
    table.write_text("\n".join(["source,start_seconds,end_seconds,label", *lines]))
    names = ["all", "b", "short", "twice"]
    found = has_tags(dataset.clips, [0, 1, 2], read_labels(table, dataset), names)
    assert found[1].tolist() == [True, True, False, True]
    assert found[0].tolist()[0]
    assert not found[2, 1:].any()


def test_the_probe_finds_what_features_encode_and_nothing_else(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = make_toy_dataset(str(tmp_path / "data"), num_movies=4, clips_per_movie=20)
    random = np.random.default_rng(0)
    has = random.random((dataset.clips.num_rows, 2)) < 0.4
    lines = ["source,start_seconds,end_seconds,label"]
    for row, clip in enumerate(dataset.clips.to_pylist()):
        start, stop = clip["start_ns"] / 1e9, clip["end_ns"] / 1e9
        movie = clip["movie_id"]
        lines += [f"{movie},{start},{stop},{'ab'[at]}" for at in np.flatnonzero(has[row])]
    table = tmp_path / "tags.csv"
    table.write_text("\n".join([*lines, f"{movie},0,0.3,rare"]))
    noise = torch.from_numpy(random.standard_normal(has.shape))
    informed = _clips(dataset, torch.from_numpy(has.astype(float)) + 0.1 * noise)
    probe = tag_probe(dataset, table, informed, informed, "video")
    assert probe is not None
    assert set(probe.result.average_precision) == {"a", "b"}, "the rare one is left out"
    assert probe.result.mean_average_precision == pytest.approx(1.0)
    assert float(probe.scores.sum() / probe.weights.sum()) == pytest.approx(1.0)
    blind = _clips(dataset, noise)
    other = tag_probe(dataset, table, blind, _clips(dataset, noise.flip(0)), "audio")
    assert other is not None
    assert other.result.mean_average_precision < 0.65
    assert other.result.chance == pytest.approx(has.mean(), abs=0.01)
    total = float(other.scores.sum() / other.weights.sum())
    assert total == pytest.approx(other.result.mean_average_precision)
