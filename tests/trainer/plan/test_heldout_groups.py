"""Held-out shows: none of their episodes is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shards_spec.reader import Dataset
from trainer.plan.clip_index import ClipIndex
from trainer.plan.policy import BatchPolicy, heldout


def test_a_group_is_on_one_side_of_the_split(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=24, clips_per_movie=1, movies_per_group=3)
    shows = {}
    for side in ("train", "heldout"):
        policy = BatchPolicy(group_by="group", heldout_fraction=0.3, split=side)  # type: ignore
        rows = ClipIndex.from_dataset(dataset, policy).row
        shows[side] = set(dataset.clips["group"].take(rows).to_pylist())
    names = sorted(shows["train"] | shows["heldout"])
    assert len(names) == 8
    assert not shows["train"] & shows["heldout"]
    out = heldout(names, 0.3)
    assert shows["heldout"] == {name for name, is_out in zip(names, out, strict=True) if is_out}
