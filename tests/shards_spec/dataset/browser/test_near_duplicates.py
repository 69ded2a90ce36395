"""Segments that several movies share, as the pages show them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa

from shards_spec.dataset.browser import Site
from shards_spec.dataset.browser.lookalikes import Lookalike
from shards_spec.dataset.browser.reasons import movie_flags
from shards_spec.dataset.reader import Dataset
from shards_spec.schema.duplicates import DUPLICATES_SCHEMA


def searched(dataset: Dataset, *rows: tuple[str, str, str]) -> Dataset:
    """The dataset with spans of these kinds in these two movies."""
    values: list[dict[str, Any]] = [
        {
            "kind": kind,
            "set_number": number,
            "movie_id": movie_id,
            "start_ns": 1_000_000_000,
            "end_ns": 4_000_000_000,
            "other_movie_id": other,
            "other_start_ns": 61_000_000_000 if other else 0,
            "other_end_ns": 64_000_000_000 if other else 0,
            "video_match": 0.9,
            "audio_match": 0.25,
            "clips_digest": "",
            "other_clips_digest": "",
        }
        for number, (kind, movie_id, other) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(values, DUPLICATES_SCHEMA)
    return dataclasses.replace(dataset, duplicates=table)


def test_both_movies_and_the_overview_show_a_shared_span(eventful: Dataset) -> None:
    first, second, third = eventful.movies["movie_id"].to_pylist()[:3]
    rows = ("opening", first, second), ("blank", third, "")
    site = Site(searched(eventful, *rows))
    overview = site.file("index.html").data.decode()
    assert "Shared segments" in overview
    assert "opening" in overview
    pages = [site.file(f"movie/{name}/1.html").data.decode() for name in (first, second, third)]
    assert "0:01.0 to 0:04.0" in pages[0]
    assert "1:01.0 to 1:04.0" in pages[1]
    assert all("90%" in page and "25%" in page for page in pages[:2])
    assert "one color" in pages[2]


def test_the_movie_table_filters_movies_that_share_more_than_a_logo(eventful: Dataset) -> None:
    names = eventful.movies["movie_id"].to_pylist()
    plain = movie_flags(Site(eventful).catalog)["copies"].copy()
    alone = [name for name, is_copy in zip(names, plain, strict=True) if not is_copy]
    assert len(alone) >= 2
    logo = movie_flags(Site(searched(eventful, ("logo", alone[0], alone[1]))).catalog)["copies"]
    assert (logo == plain).all()
    rows = (("excerpt", alone[0], alone[1]),)
    flags = movie_flags(Site(searched(eventful, *rows)).catalog)["copies"]
    changed = {name for name, now, was in zip(names, flags, plain, strict=True) if now != was}
    assert changed == set(alone[:2])


def test_a_dataset_that_was_not_searched_says_so(eventful: Dataset) -> None:
    assert "Not searched yet" in Site(eventful).file("index.html").data.decode()


def with_lookalikes(dataset: Dataset) -> Site:
    """A site whose first two movies look and sound the same."""
    site = Site(dataset)
    names = site.catalog.movie_ids
    site.catalog.__dict__["lookalikes"] = (Lookalike(names[0], names[1], 0, 9, 10, 0, 9),)
    return site


def test_no_pair_is_both_used_and_left_out_by_training(eventful: Dataset) -> None:
    first, second, third = eventful.movies["movie_id"].to_pylist()[:3]
    title, use = "Movies that look and sound the same", "training uses the clips of both movies"
    unsearched = with_lookalikes(eventful).file("index.html").data.decode()
    assert title in unsearched
    assert use in unsearched.lower()
    for pair in ((first, second), (second, first)):
        shared = with_lookalikes(searched(eventful, ("copy", *pair))).file("index.html")
        assert title not in shared.data.decode()
        assert use not in shared.data.decode().lower()
    others = with_lookalikes(searched(eventful, ("copy", first, third))).file("index.html")
    assert title in others.data.decode()
    assert use in others.data.decode().lower()
