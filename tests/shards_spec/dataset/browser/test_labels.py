"""Labels and texts in the pages: shown, searchable, escaped, and bounded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shards_spec import layout
from shards_spec.dataset.browser import Site, open_site, write_report
from shards_spec.dataset.browser.labels import pages
from shards_spec.dataset.browser.site import NotFoundError
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import rejoin_tables, write_ranges
from tests.support.datasets.eventful import EVIL, SCRIPT, write_eventful_dataset

#: Clips have 0.8 s.
CLIP = 800_000_000


@pytest.fixture
def labeled(tmp_path: Path) -> Site:
    dataset = write_eventful_dataset(str(tmp_path / "data"))
    ranges = [
        LabeledRange("heat", 0, 2 * CLIP, "night", None),
        LabeledRange("heat", CLIP, 2 * CLIP, EVIL, None),
        LabeledRange("copy", 0, CLIP // 2, "night", None),
    ]
    cues = [LabeledRange("heat", 0, CLIP, None, f"Don't {EVIL}")]
    for name, items in (("mood", ranges), ("subtitles", cues)):
        write_ranges(dataset.storage, name, ranges_table(items, dataset.movies, Findings()))
    path = dataset.storage.local_path(layout.CLIPS_PARQUET)
    rejoin_tables(dataset.storage, path, dataset.clips_fingerprint)
    return open_site(dataset.storage.uri)


def page(site: Site, path: str) -> str:
    return site.file(path).data.decode()


def rows(site: Site, path: str) -> dict[str, Any]:
    found = re.search(r'id="table-data">(.*?)</script>', page(site, path), re.S)
    assert found is not None
    values: dict[str, Any] = json.loads(found[1])
    return values


def test_the_pages_of_labels_list_clips_to_be_searched(labeled: Site) -> None:
    assert "labels.html" in page(labeled, "index.html")
    overview = page(labeled, "labels.html")
    assert "labels/mood/1.html" in overview
    assert "labels/subtitles/1.html" in overview
    data = rows(labeled, "labels/mood/1.html")
    assert [row[0] for row in data["rows"]] == [
        "copy_000000",
        "heat_000000",
        "heat_000001",
        "heat_000001",
    ]
    assert data["rows"][0][3:] == ["night", "", "50 %", ["=night"]]
    assert data["filters"][0] == {"name": "=night", "label": "night"}
    assert "Don't" in rows(labeled, "labels/subtitles/1.html")["rows"][0][4]
    for path in ("labels/mood/2.html", "labels/mood/0.html", "labels/none/1.html"):
        with pytest.raises(NotFoundError):
            labeled.file(path)


def test_movies_and_clips_show_their_labels(labeled: Site) -> None:
    assert "Don&#x27;t" in page(labeled, "movie/heat/1.html")
    clip = page(labeled, "clip/heat_000001/index.html")
    assert "Labels and texts" in clip
    assert "night" in clip
    assert "Labels and texts" not in page(labeled, "clip/heat_000008/index.html")


def test_labels_of_strangers_are_text(labeled: Site) -> None:
    for path in ("labels.html", "labels/mood/1.html", "movie/heat/1.html",
                 "clip/heat_000001/index.html"):  # fmt: skip
        text = page(labeled, path)
        assert SCRIPT not in text
        assert "<img src=x" not in text


def test_long_tables_continue_on_further_pages(
    labeled: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "ROWS_PER_PAGE", 3)
    assert len(rows(labeled, "labels/mood/2.html")["rows"]) == 1
    write_report(labeled, tmp_path / "report", 2)
    written = {path.relative_to(tmp_path / "report").as_posix() for path in tmp_path.rglob("*.html")
               if "report" in path.parts}  # fmt: skip
    assert {"labels.html", "labels/mood/1.html", "labels/mood/2.html"} <= written
    text = (tmp_path / "report/labels/mood/1.html").read_text()
    assert "unlinked" in text


def test_a_dataset_without_labels_has_no_such_pages(tmp_path: Path) -> None:
    site = Site(write_eventful_dataset(str(tmp_path / "data")))
    assert "labels.html" not in page(site, "index.html")
    with pytest.raises(NotFoundError):
        site.file("labels.html")
