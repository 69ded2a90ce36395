"""The pages in a real browser: scripts, keyboard, audio, and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec.dataset.browser import BrowserServer, Site, write_report
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import write_ranges
from shards_spec.dataset.reader import open_dataset
from shards_spec.schema.duplicates import DUPLICATES_SCHEMA, clips_digests
from tests.support.datasets.eventful import EVIL, SCRIPT, write_eventful_dataset
from tests.support.launch.chromium import Chromium, find_chromium, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium"),
]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    assert program is not None
    with running(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def rows(chromium: Chromium) -> list[str]:
    """First cells of the table's rows."""
    found = chromium.evaluate("[...document.querySelectorAll('tbody th')].map(e => e.textContent)")
    return list(found)


def base(server: BrowserServer) -> str:
    return server.url.removesuffix("index.html")


def test_every_page_runs_without_complaints_and_loads_only_itself(
    chromium: Chromium, server: BrowserServer
) -> None:
    for page in (
        "index.html",
        "movies.html",
        "movie/heat/1.html",
        "movie/broken/1.html",
        "clip/heat_000004/index.html",
    ):
        chromium.open(base(server) + page)
        assert chromium.complaints() == [], page
        assert all(url.startswith(base(server)) for url in chromium.requested()), page
        assert chromium.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        images = "[...document.images].every(e => e.loading === 'lazy' || e.naturalWidth > 0)"
        assert chromium.evaluate(images), page


def test_the_policy_stops_scripts_of_strangers(chromium: Chromium, server: BrowserServer) -> None:
    chromium.open(base(server) + "movies.html")
    inject = "document.body.insertAdjacentHTML('beforeend', %s)"
    chromium.evaluate(inject % json.dumps('<img src=x onerror="window.ran = 1">'))
    chromium.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => { window.ran = 1 }, () => { window.ran ||= 2 })"
    )
    assert chromium.evaluate("window.ran") == 2
    assert any("Content Security Policy" in text for text in chromium.complaints())


def test_movies_are_searched_filtered_and_sorted(chromium: Chromium, server: BrowserServer) -> None:
    chromium.open(base(server) + "movies.html")
    assert rows(chromium) == ["broken", "copy", "dark", "heat"]
    status = "document.querySelector('[role=status]').textContent"
    assert chromium.evaluate(status) == "4 of 4 movies"
    search = "(e => { e.value = %s; e.dispatchEvent(new Event('input')) })(%s)"
    chromium.evaluate(search % (json.dumps(SCRIPT.upper()), "document.getElementById('search')"))
    assert rows(chromium) == ["broken", "dark", "heat"]
    titles = chromium.evaluate("document.querySelector('tbody tr:last-child td').textContent")
    assert titles.startswith(f"{SCRIPT}\"'><img src=x")
    chromium.open(base(server) + "movies.html#filter=failed")
    assert rows(chromium) == ["broken", "dark"]
    chromium.open(base(server) + "movies.html?2#sort=4&order=down")
    assert rows(chromium) == ["copy", "heat", "broken", "dark"]
    head = "document.querySelectorAll('thead th')[%d]"
    assert chromium.evaluate(f"{head % 4}.getAttribute('aria-sort')") == "descending"
    chromium.evaluate(f"{head % 4}.querySelector('button').click()")
    assert rows(chromium)[-1] == "copy"
    chromium.evaluate(f"{head % 0}.querySelector('button').click()")
    assert rows(chromium) == ["broken", "copy", "dark", "heat"]
    assert chromium.complaints() == []


def test_a_filter_without_matches_says_so(chromium: Chromium, server: BrowserServer) -> None:
    chromium.open(base(server) + "movies.html?none#search=no+such+movie&filter=failed")
    assert rows(chromium) == []
    shown = chromium.evaluate("document.querySelector('tbody').textContent")
    assert shown == "No movies match."
    chromium.open(base(server) + "movies.html?black#filter=dropped_black")
    assert rows(chromium) == ["heat"]
    cells = "[...document.querySelectorAll('tbody td a')].map(e => e.getAttribute('href'))"
    assert chromium.evaluate(cells) == ["movie/copy/1.html"]


@pytest.mark.parametrize("page", ["index.html", "movies.html", "movie/heat/1.html"])
@pytest.mark.parametrize("width", [300, 1280])
def test_only_regions_that_scroll_are_tab_stops(
    chromium: Chromium, server: BrowserServer, page: str, width: int
) -> None:
    chromium.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    chromium.open(f"{base(server)}{page}?{width}stops")
    regions = "[...document.querySelectorAll('.scroll, .wide')]"
    state = "e => [e.scrollWidth > e.clientWidth, e.hasAttribute('tabindex')]"
    found = chromium.evaluate(f"{regions}.map({state})")
    assert found
    assert all(scrolls == is_stop for scrolls, is_stop in found)
    chromium.call("Emulation.clearDeviceMetricsOverride")


def test_the_keyboard_reaches_everything(chromium: Chromium, server: BrowserServer) -> None:
    chromium.open(base(server) + "movies.html?keys")
    focused = []
    for _ in range(24):
        chromium.press("Tab", 9)
        focused.append(chromium.evaluate("(e => e.id || e.textContent)(document.activeElement)"))
    assert focused[:5] == ["Skip to the content", "Overview", "Movies", "search", "filter"]
    assert {"movie", "clips", "broken", "heat"} <= set(focused)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    chromium.evaluate("document.activeElement.blur()")
    chromium.press("Tab", 9)
    assert chromium.evaluate(outline) != "none"


def test_the_audio_of_a_clip_plays_with_its_frames(
    chromium: Chromium, server: BrowserServer
) -> None:
    chromium.open(base(server) + "clip/heat_000004/index.html")
    chromium.wait_for("document.getElementById('audio').readyState >= 2")
    duration = chromium.evaluate("document.getElementById('audio').duration")
    assert duration == pytest.approx(0.8, abs=0.02)
    chromium.wait_for("document.querySelector('.strip .now') !== null")
    chromium.evaluate("document.getElementById('audio').currentTime = 0.5")
    # 5 frames a second: at 0.5 s, number 2 is shown.
    chromium.wait_for("document.querySelectorAll('.strip li')[2].classList.contains('now')")
    pixels = (
        "[...document.getElementById('screen').getContext('2d').getImageData(0, 0, 48, 32).data]"
    )
    assert len(set(chromium.evaluate(pixels))) > 2
    chromium.evaluate("document.getElementById('audio').play()")
    chromium.wait_for("document.getElementById('audio').ended")
    chromium.wait_for("document.querySelectorAll('.strip li')[3].classList.contains('now')")
    assert chromium.complaints() == []


def test_a_report_works_from_the_disk(chromium: Chromium, site: Site, tmp_path: Path) -> None:
    write_report(Site(site.catalog.dataset), tmp_path / "report", 4)
    root = (tmp_path / "report").as_uri()
    chromium.open(f"{root}/movies.html#filter=cropped")
    assert rows(chromium) == ["heat"]
    assert chromium.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
        "auto"
    )
    chromium.open(f"{root}/clip/heat_000000/index.html")
    chromium.wait_for("document.querySelector('.strip .now') !== null")
    chromium.wait_for("document.getElementById('audio').readyState >= 1")
    assert chromium.complaints() == []
    assert all(url.startswith("file:") for url in chromium.requested())


@pytest.mark.parametrize("width", [320, 500, 1200])
def test_pages_fit_the_window(chromium: Chromium, server: BrowserServer, width: int) -> None:
    chromium.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    for page in ("index.html", "movies.html", "movie/heat/1.html", "clip/heat_000004/index.html"):
        chromium.open(f"{base(server)}{page}?{width}")
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width, page


#: Texts whose contrast with their background is below 4.5, the minimum of WCAG 2 for small text.
PALE = """(() => {
  const parts = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parts(color).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let place = node; place; place = place.parentElement) {
      const color = getComputedStyle(place).backgroundColor;
      if (parts(color).length === 3) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || ["SCRIPT", "TITLE", "OPTION"].includes(node.tagName.toUpperCase())) continue;
    const style = getComputedStyle(node);
    const color = node.tagName === "text" ? style.fill : style.color;
    const [a, b] = [luminance(color), luminance(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) pale.push(`${node.textContent.slice(0, 40)}: ${color}`);
  }
  return pale;
})()"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with labels, near-duplicates and a second dataset; all texts are hostile."""
    folder = tmp_path_factory.mktemp("described")
    dataset = write_eventful_dataset(str(folder / "first"))
    ranges = [LabeledRange("heat", 0, 800_000_000, EVIL, EVIL)]
    write_ranges(dataset.storage, "mood", ranges_table(ranges, dataset.movies, Findings()))
    write_index(dataset.storage, dataset.recipe, "toy")
    names = ("copy", "heat")
    digests = [clips_digests(dataset.clips, names)[name] for name in names]
    spans = [
        ("copy", 1, *names, 0.9, 1.0, *digests),
        ("blank", 0, "heat", "", 0, 0, digests[1], ""),
    ]
    rows = [
        (kind, number, first, 0, 10**9, other, 0, 10**9 if other else 0, *rest)
        for kind, number, first, other, *rest in spans
    ]
    columns = map(list, zip(*rows, strict=True))
    arrays = [pa.array(c, f.type) for c, f in zip(columns, DUPLICATES_SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=DUPLICATES_SCHEMA)
    pq.write_table(table, dataset.storage.local_path("index/duplicates.parquet"))
    other = write_eventful_dataset(str(folder / "second"))
    movie, clips = read_commit(other.storage, "heat")
    write_commit(other.storage, replace(movie, num_clips=movie.num_clips - 1), clips[:-1])
    write_index(other.storage, other.recipe, "toy")
    site = Site(open_dataset(dataset.storage), open_dataset(other.storage))
    write_report(site, folder / "report", 4)
    return folder / "report"


DESCRIBED = (
    *("index.html", "movies.html", "movie/heat/1.html", "movie/copy/1.html", "movie/dark/1.html"),
    *("labels.html", "labels/mood/1.html", "difference.html", "difference/heat/1.html"),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_is_legible_and_shows_hostile_texts(
    chromium: Chromium, described: Path, width: int, scheme: str
) -> None:
    chromium.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.call("Emulation.setEmulatedMedia", features=media)
    for page in DESCRIBED:
        chromium.open(f"{(described / page).as_uri()}?{width}{scheme}")
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width, page
        assert chromium.evaluate(PALE) == [], page
        assert chromium.complaints() == [], page
        assert chromium.evaluate("document.querySelectorAll('img[src=x]').length") == 0, page
    chromium.open(f"{(described / 'labels/mood/1.html').as_uri()}?text")
    assert SCRIPT in chromium.evaluate("document.querySelector('tbody').textContent")
    chromium.open(f"{(described / 'movie/heat/1.html').as_uri()}?spans")
    shown = chromium.evaluate("document.body.textContent")
    assert "Shared segments" in shown
    assert "one color" in shown
    chromium.call("Emulation.setEmulatedMedia", features=[])


def test_zero_is_a_number_and_unknown_is_blank(chromium: Chromium, tmp_path: Path) -> None:
    dataset = write_eventful_dataset(str(tmp_path / "d"))
    rows = [LabeledRange("copy", 0, 800_000_000, "sad", None)]
    write_ranges(dataset.storage, "mood", ranges_table(rows, dataset.movies, Findings()))
    write_index(dataset.storage, dataset.recipe, "toy")
    write_report(Site(open_dataset(dataset.storage)), tmp_path / "report", 1)
    root = (tmp_path / "report").as_uri()
    cells = "[...document.querySelectorAll('tbody tr')].map(e => [...e.children].map(TEXT))"
    cells = cells.replace("TEXT", "c => c.textContent")
    chromium.open(f"{root}/labels/mood/1.html")
    [shown] = chromium.evaluate(cells)
    assert shown[2] == "0:00.0"
    chromium.open(f"{root}/movies.html")
    by_movie = {row[0]: row for row in chromium.evaluate(cells)}
    assert by_movie["copy"][7] == "0"
    assert by_movie["broken"][7] == ""
    assert chromium.complaints() == []
