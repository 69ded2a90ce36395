"""The pages in a real browser: scripts, keyboard, audio, and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards_spec.browser import BrowserServer, Site, write_report
from shards_spec.index import write_index
from shards_spec.labels import Findings, LabeledRange, ranges_table, write_ranges
from shards_spec.reader import open_dataset
from tests.support.datasets.eventful import SCRIPT, write_eventful_dataset
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
    assert by_movie["copy"][7] == "0.00 s"
    assert by_movie["broken"][7] == ""
    assert chromium.complaints() == []
