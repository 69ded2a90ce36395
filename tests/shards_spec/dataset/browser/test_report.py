"""Reports: complete without a server, limited to some clips, and careful with folders."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urldefrag

import pytest

from pipeline.__main__ import main as pipeline_main
from shards_spec.dataset.browser import Site, write_report
from shards_spec.dataset.browser.report import MARKER, sample_clips
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.layout import shard_key
from tests.support.datasets.eventful import SCRIPT, write_eventful_dataset

_LINK = re.compile(r'(?:href|src)="([^"]+)"')


def broken_links(folder: Path) -> list[str]:
    """Links of all pages to files that do not exist, or that lead elsewhere."""
    broken = []
    for page in folder.rglob("*.html"):
        for target in _LINK.findall(page.read_text("utf-8")):
            path = urldefrag(target)[0]
            if re.match(r"[a-z]+:|/", path) or (path and not (page.parent / path).is_file()):
                broken.append(f"{page.relative_to(folder)}: {target}")
    return broken


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same movies with another JPEG quality, and stored audio."""
    folder = tmp_path_factory.mktemp("other")
    return write_eventful_dataset(str(folder), jpeg_quality=50)


def test_a_report_is_complete(eventful: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    assert write_report(Site(eventful), folder, 5) == []
    assert broken_links(folder) == []
    clips = sorted(path.name for path in (folder / "clip").iterdir())
    assert clips == ["copy_000000", "copy_000011", "heat_000000", "heat_000008"]
    for name in clips:
        files = sorted(path.name for path in (folder / "clip" / name).iterdir())
        assert files == ["audio.wav", "index.html", "logmel.png", "strip.jpg", "thumb.jpg"]
    for movie_id in ("heat", "copy", "broken", "dark"):
        assert (folder / "movie" / movie_id / "1.html").is_file()
    for page in folder.rglob("*.html"):
        text = page.read_text("utf-8")
        assert SCRIPT not in text
        assert "default-src 'none'" in text


def test_a_report_of_a_difference_is_complete(
    eventful: Dataset, other: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    write_report(Site(eventful, other), folder, 4)
    assert broken_links(folder) == []
    assert (folder / "against" / "clip" / "heat_000000" / "strip.jpg").is_file()
    text = (folder / "difference" / "heat" / "1.html").read_text("utf-8")
    assert "other bytes, equal measurements" in text


def test_damaged_clips_are_left_out_and_named(tmp_path: Path) -> None:
    dataset = write_eventful_dataset(str(tmp_path / "d"))
    path = dataset.storage.local_path(shard_key("copy", 0))
    path.write_bytes(b"?" * path.stat().st_size)
    problems = write_report(Site(dataset), tmp_path / "report", 4)
    assert [problem.split(" is left out")[0] for problem in problems] == [
        "clip copy_000000",
        "clip copy_000011",
    ]
    assert broken_links(tmp_path / "report") == []
    assert (tmp_path / "report" / "clip" / "heat_000000").is_dir()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 18, 1000])
def test_clips_are_spread_over_movies(site: Site, number: int) -> None:
    chosen = sample_clips(site, number)
    assert len(chosen) <= number
    assert len(chosen) >= min(number, 2)
    if number >= 2:
        assert {clip_id.rpartition("_")[0] for clip_id in chosen} == {"heat", "copy"}


def test_only_reports_are_replaced(eventful: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(Site(eventful), folder, 0)
    (folder / "old.html").write_text("old")
    write_report(Site(eventful), folder, 0)
    assert not (folder / "old.html").exists()
    (folder / MARKER).unlink()
    with pytest.raises(InputError, match="has other files"):
        write_report(Site(eventful), folder, 0)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(InputError, match="is not a folder"):
            write_report(Site(eventful), tmp_path / name, 0)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_command_writes_pages_or_tables(
    eventful: Dataset, other: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = eventful.storage.uri
    words = ["report", uri, "--against", other.storage.uri, "--html-clips", "2"]
    assert pipeline_main([*words, "--html", str(tmp_path / "pages")]) == 1
    assert "2 of 4 movies differ" in capsys.readouterr().out
    assert (tmp_path / "pages" / "difference.html").is_file()
    assert pipeline_main(["report", uri, "--html", str(tmp_path / "tables.html")]) == 1
    assert "Dataset report" in (tmp_path / "tables.html").read_text("utf-8")
    assert pipeline_main([*words[:4], "--json"]) == 1
    assert '"changed": 12' in capsys.readouterr().out
