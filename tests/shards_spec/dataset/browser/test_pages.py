"""What the pages say, and that texts from datasets stay texts."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.browser import Site
from shards_spec.dataset.index import write_index
from shards_spec.dataset.reader import open_dataset
from shards_spec.schema.dropped import REBUILD_REASONS
from shards_spec.storage.storage import Storage
from tests.support.datasets.eventful import (
    EVIL,
    SCRIPT,
    drops_of,
    write_eventful_dataset,
    write_movie,
)
from tests.support.datasets.toy_dataset import toy_recipe

PAGES = (
    "index.html",
    "movies.html",
    "movie/heat/1.html",
    "movie/copy/1.html",
    "movie/broken/1.html",
    "movie/dark/1.html",
    "clip/heat_000004/index.html",
)

#: Elements without an end tag.
VOID = {"meta", "link", "img", "input", "br"}


class Outline(HTMLParser):
    """Elements, attributes and texts of a page; fails where elements are not nested properly."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r" +([,.])", r"\1", " ".join(" ".join(self.texts).split()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def outline(site: Site, path: str) -> Outline:
    return Outline(site.file(path).data.decode())


def site_of(folder: Path, movie_id: str, **columns: object) -> Site:
    """The eventful dataset, with these values in a movie's row."""
    uri = str(folder / "d")
    dataset = open_dataset(uri) if (folder / "d").exists() else write_eventful_dataset(uri)
    rows = [
        {**row, **(columns if row["movie_id"] == movie_id else {})}
        for row in dataset.movies.to_pylist()
    ]
    table = pa.Table.from_pylist(rows, dataset.movies.schema)
    pq.write_table(table, dataset.storage.local_path(layout.MOVIES_PARQUET))
    return Site(open_dataset(uri))


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_sane_for_keyboards_and_screen_readers(site: Site, path: str) -> None:
    page = outline(site, path)
    assert [attributes.get("lang") for attributes in page.all("html")] == ["en"]
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert page.all("a")[0]["href"] == "#content"
    assert all(image.get("alt") for image in page.all("img"))
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or drawing.get("aria-label")
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PAGES)
def test_texts_of_strangers_are_never_markup(site: Site, path: str) -> None:
    data = site.file(path).data.decode()
    page = Outline(data)
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert attributes.get("src") != "x"
    sources = [script.get("src") or script.get("type") for script in page.all("script")]
    assert all(str(s).endswith("browser.js") or s == "application/json" for s in sources)
    assert SCRIPT not in data
    assert "\u202e" not in data
    assert "\x1b" not in data
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', data):
        json.loads(block)
        assert not set(block) & set("<>&")


def test_a_hostile_title_is_shown_as_it_is(site: Site) -> None:
    assert SCRIPT in outline(site, "movie/heat/1.html").text
    assert html.escape(SCRIPT) in site.file("movie/heat/1.html").data.decode()
    data = re.search(rb'id="table-data">(.*?)</script>', site.file("movies.html").data)
    assert data is not None
    rows = {row[0]: row for row in json.loads(data[1])["rows"]}
    assert rows["heat"][1].startswith(SCRIPT)


def test_the_overview_names_failures_drops_and_copies(site: Site) -> None:
    text = outline(site, "index.html").text
    for expected in (
        "2 movies with clips of 4 movies",
        "18 clips",
        "6 clips dropped, 25.0 % of all",
        "copy = heat",
        "no audio <script>",
        "will fail again until the file or the setup changes",
        "movies whose black bars were cropped 1",
        "movies where missing audio was filled with silence 1",
        "num_frames 4",
        "black 3 mean brightness below 20 of 255, nearly uniform",
    ):
        assert expected in text, expected
    targets = {attributes["href"] for attributes in outline(site, "index.html").all("a")}
    assert {"movies.html#filter=dropped_black", "movies.html#filter=dropped_too_short"} <= targets


@pytest.mark.parametrize("path", PAGES)
def test_headings_of_columns_have_names(site: Site, path: str) -> None:
    data = site.file(path).data.decode()
    assert '<th scope="col"></th>' not in data
    assert 'class="scroll" role="group" aria-label' in data


def test_a_movie_says_what_was_dropped_cropped_filled_and_corrected(site: Site) -> None:
    text = outline(site, "movie/heat/1.html").text
    for expected in (
        "done 6 clips, 6 dropped; the movie is 0:09.6 long",
        "Same source as: copy",
        "0:01.6 to 0:03.2 2 black",
        "0:05.6 to 0:06.4 1 black",
        "0:07.2 to 0:09.6 3 too short",
        "2.00 s of the audio is missing in the source and was filled with silence; 1.69 s of it",
        "0:03.2 to 0:04.8 0.31 s",
        "40 x 32 pixels were kept of 48 x 32. Cut off: 0 rows above, 0 below, 4 columns on the",
        "audio starts after the video by 1.50 s",
        "audio stretched, parts per million 120.0",
        "year 1995",
    ):
        assert expected in text, expected
    assert len(outline(site, "movie/heat/1.html").all("img")) == 6


def test_a_movie_without_clips_says_why(site: Site) -> None:
    text = outline(site, "movie/broken/1.html").text
    assert "quarantined will fail again" in text
    assert f"Cause: class {SCRIPT}" in text
    assert f"no audio {SCRIPT}" in text
    assert "dropped clips, filled audio and cropping are unknown" in text


@pytest.mark.parametrize("status", ["quarantined", "failed"])
def test_a_movie_that_was_not_processed_claims_nothing(tmp_path, status: str) -> None:
    nothing = {"video_width": 0, "video_height": 0, "audio_track": -1, "video_codec": ""}
    site = site_of(tmp_path, "broken", status=status, **nothing)
    # The path of the dataset may contain any of these: `pytest-1`.
    text = outline(site, "movie/broken/1.html").text.replace(str(tmp_path), "")
    for absent in ("None.", "black bars", "0.00 s", "-1", "dropped black", "video width", "wanted"):
        assert absent not in text, absent
    assert b"<td></td>" not in site.file("movie/broken/1.html").data


def test_facts_have_no_sentinels(tmp_path) -> None:
    text = outline(site_of(tmp_path, "copy"), "movie/copy/1.html").text
    for absent in ("requested", "programs", " -1", "HDR", "cut off at the end"):
        assert absent not in text, absent
    wanted = {"wanted_end_seconds": 8.0, "wanted_audio_track": 2, "num_programs": 3}
    text = outline(site_of(tmp_path, "copy", **wanted), "movie/copy/1.html").text
    assert "requested part ends at 8.00 s" in text
    assert "requested audio track 2" in text
    assert "programs in the source 3" in text


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"missing_ns": 64_240_000_000, "declared_duration_ns": 67_800_000_000},
            "The source is cut off: the last 1:04.2 of the declared 1:07.8 are missing.",
        ),
        ({"missing_ns": 1_500_000_000}, "The source is cut off: the last 0:01.5 are missing."),
        (
            {"video_lost_ns": 2_000_000_000},
            "2.00 s of the video in the source cannot be shown:",
        ),
        ({"dropped_damaged": 1}, "1 clip was dropped because frames are damaged."),
        ({}, ""),
    ],
)
def test_a_movie_that_is_not_whole_has_a_banner(tmp_path, columns, expected: str) -> None:
    text = outline(site_of(tmp_path, "copy", **columns), "movie/copy/1.html").text
    assert expected in text
    assert ("Incomplete" in text) == bool(columns)


def test_the_end_of_a_movie_that_is_in_no_clip_is_explained(tmp_path) -> None:
    # 12 clips of 0.8 s.
    for length, rest in ((9_600_000_000, ""), (9_900_000_000, "0.30 s"), (20_000_000_000, "")):
        text = outline(site_of(tmp_path, "copy", duration_ns=length), "movie/copy/1.html").text
        assert (f"The last {rest} are too short for another clip." in text) == bool(rest)
        assert ("too short for another" in text) == bool(rest)


def test_reasons_of_rebuilt_movies_have_words(tmp_path) -> None:
    recipe, storage = toy_recipe(), Storage(str(tmp_path), create=True)
    drops = drops_of(recipe, dict(zip((2, 3, 5), REBUILD_REASONS, strict=True)), ())
    write_movie(storage, recipe, "again", (0, 1, 4), drops=drops)
    write_index(storage, recipe, "toy")
    text = outline(Site(open_dataset(storage)), "movie/again/1.html").text
    for reason in REBUILD_REASONS:
        assert f"1 {reason.replace('_', ' ')} (this copy" in text


def test_thumbnails_are_named_by_the_frame_that_they_show(site: Site) -> None:
    page = outline(site, "movie/heat/1.html")
    # The third of four frames at 5 per second, of the clip that begins at 3.2 s.
    assert "Middle frame of clip 4, at 0:03.6" in [image["alt"] for image in page.all("img")]
    assert "clip 4, frame at 0:03.6" in page.text


def test_a_clip_names_the_dropped_ones_before_and_after_it(site: Site) -> None:
    text = outline(site, "clip/heat_000004/index.html").text
    assert "Before this clip, 2 clips dropped: 2 black." in text
    assert "After this clip" not in text
    assert "After this clip, 1 clip dropped: 1 black." in outline(
        site, "clip/heat_000006/index.html"
    ).text  # fmt: skip
    last = outline(site, "clip/heat_000008/index.html").text
    assert "After this clip, 3 clips dropped: 3 too short." in last
    assert "audio filled with silence 0.30 s" in text


def test_dropped_clips_have_a_pattern(site: Site) -> None:
    page = outline(site, "movie/heat/1.html")
    drawn = {pattern["id"] for pattern in page.all("pattern")}
    styles = site.file("assets/browser.css").data.decode()
    assert drawn == set(re.findall(r"fill: url\(#([\w-]+)\)", styles)) != set()


def test_a_clip_says_where_its_audio_is_from(site: Site, tmp_path) -> None:
    page = outline(site, "clip/heat_000004/index.html")
    assert "rendered from the log-mel spectrogram (Griffin-Lim)" in page.text
    assert page.all("audio")[0]["src"] == "../../clip/heat_000004/audio.wav"
    assert len(page.all("image")) == 4
    assert "previous clip" in page.text
    assert "next clip" in page.text


def test_every_text_column_may_be_hostile_and_long(tmp_path) -> None:
    dataset = write_eventful_dataset(str(tmp_path / "d"))
    table = dataset.movies
    fixed = {"movie_id", "status", "recipe_fingerprint"}
    for number, item in enumerate(table.schema):
        if pa.types.is_string(item.type) and item.name not in fixed:
            texts = [EVIL * 3_000 + str(row) for row in range(table.num_rows)]
            table = table.set_column(number, item, pa.array(texts, item.type))
    pq.write_table(table, dataset.storage.local_path(layout.MOVIES_PARQUET))
    site = Site(open_dataset(dataset.storage.uri))
    for path in PAGES:
        test_texts_of_strangers_are_never_markup(site, path)
        assert len(site.file(path).data) < 500_000
