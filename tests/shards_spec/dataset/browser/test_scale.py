"""Pages of large datasets are complete, and small enough for a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shards_spec.dataset.browser import Site
from shards_spec.dataset.browser.pages import movies as movie_table
from shards_spec.dataset.reader import open_dataset
from tests.support.datasets.made_index import write_made_index

#: Bytes of a page that a browser shows without complaint.
MAX_PAGE_BYTES = 10_000_000


def rows_of(site: Site, path: str) -> list[list[object]]:
    found = re.search(rb'id="table-data">(.*?)</script>', site.file(path).data)
    assert found is not None
    rows: list[list[object]] = json.loads(found[1])["rows"]
    return rows


def test_a_long_table_continues_on_other_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_made_index(tmp_path / "d", 40, 20)
    monkeypatch.setattr(movie_table, "MOVIES_PER_PAGE", 15)
    site = Site(open_dataset(str(tmp_path / "d")))
    names = [row[0] for path in ("", "-2", "-3") for row in rows_of(site, f"movies{path}.html")]
    assert names == site.catalog.movie_ids
    assert b'href="movies-2.html"' in site.file("movies.html").data


@pytest.mark.slow
def test_a_large_dataset_has_small_pages(tmp_path: Path) -> None:
    write_made_index(tmp_path / "d", 21_000, 50)
    site = Site(open_dataset(str(tmp_path / "d")))
    for path in ("index.html", "movies.html", "movies-2.html", "movie/movie-000005/1.html"):
        assert len(site.file(path).data) < MAX_PAGE_BYTES, path
    assert len(rows_of(site, "movies.html")) == 20_000
    assert len(rows_of(site, "movies-2.html")) == 21_000 + 1_050 - 20_000
    assert b"1,050" in site.file("index.html").data
    assert site.catalog.lookalikes == ()


@pytest.mark.slow
def test_a_movie_of_100_000_clips_has_small_pages(tmp_path: Path) -> None:
    write_made_index(tmp_path / "d", 1, 100_000)
    site = Site(open_dataset(str(tmp_path / "d")))
    for number in (1, 2, 450):
        data = site.file(f"movie/movie-000000/{number}.html").data
        assert len(data) < 1_000_000
    assert b"90,000 of 90,000" in data
