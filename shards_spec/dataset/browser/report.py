"""A site as files in a folder, which need no server and load nothing from elsewhere.

All movies have a page. Only some clips are part of it, with frames and audio, because those of a
large dataset would not fit into a mail: as many as are asked for, spread over movies and time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from shards_spec.dataset.browser.labels.pages import LABELS_PAGE, labels_path, num_table_pages
from shards_spec.dataset.browser.media import File
from shards_spec.dataset.browser.pages import num_clip_pages
from shards_spec.dataset.browser.pages.movies import movies_path, num_movie_pages
from shards_spec.dataset.browser.pages.shell import clip_file, clip_page, movie_page
from shards_spec.dataset.browser.site import AGAINST, ASSETS, Site
from shards_spec.errors import FormatError, InputError, StorageError

#: Written into every report; a folder without it is not replaced.
MARKER = ".reelshards-report"

#: Movies whose clips are listed.
MAX_LISTED_MOVIES = 200

#: Pages about movies; a report about more has only the tables.
MAX_MOVIE_PAGES = 20_000


#: Pages of each table of labels, of 10,000 rows.
MAX_LABEL_PAGES = 20


def write_report(
    site: Site,
    folder: Path,
    num_clips: int = 60,
    on_page: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Write all pages to a folder, which is created, or replaced if it has an earlier report.

    Returns the clips that could not be included, with the reason. Raises `InputError` if the folder
    cannot be written or has other files.
    """
    _check_folder(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    problems: list[str] = []
    try:
        part.mkdir(parents=True)
        (part / MARKER).write_text("made by `reelshards report --html`\n", encoding="utf-8")
        _limit(site, num_clips)
        for path, file in _files(site, problems):
            target = part / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            on_page(path)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write the report to {folder}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return problems


def _check_folder(folder: Path) -> None:
    """Raise `InputError` unless a folder is missing, empty, or an earlier report."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is not a folder; name another one for the report")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise InputError(f"{folder} has other files; name an empty or new folder for the report")


def _limit(site: Site, num_clips: int) -> None:
    clips = sample_clips(site, num_clips)
    movies = set(site.catalog.movie_ids[:MAX_LISTED_MOVIES])
    movies |= {clip_id.rpartition("_")[0] for clip_id in clips}
    if site.other is None:
        site.limit(clips, movies)
        return
    differing = [movie.movie_id for movie in site.comparison.movies if not movie.is_equal]
    site.limit(clips, movies, set(differing[:MAX_LISTED_MOVIES]))
    # The same clips of the second dataset, so that they can be looked at side by side.
    others = {clip_id for clip_id in clips if _has_clip(site.other, clip_id)}
    site.other.limit(others, movies)


def _has_clip(site: Site, clip_id: str) -> bool:
    try:
        site.catalog.clip(clip_id)
    except InputError:
        return False
    return True


def sample_clips(site: Site, number: int) -> set[str]:
    """Ids of at most `number` clips: about as many of each movie, evenly spaced in time."""
    movies = site.catalog.dataset.movies
    with_clips = movies.filter(pc.greater(movies["num_clips"], 0))["movie_id"].to_pylist()
    if not with_clips or number < 1:
        return set()
    picks = np.unique(np.linspace(0, len(with_clips) - 1, min(number, len(with_clips))).round())
    each = max(1, number // len(picks))
    chosen: set[str] = set()
    for pick in picks.astype(int).tolist():
        ids = site.catalog.clips_of(with_clips[pick])["clip_id"].to_pylist()
        rows = np.unique(np.linspace(0, len(ids) - 1, min(each, len(ids))).round())
        chosen |= {ids[row] for row in rows.astype(int).tolist()}
    return chosen


def _files(site: Site, problems: list[str]) -> Iterator[tuple[str, File]]:
    for name in ASSETS:
        yield f"assets/{name}", site.file(f"assets/{name}")
    yield from _clip_files(site, problems)
    yield from _pages(site)
    if site.other is None:
        return
    for path, file in (*_clip_files(site.other, problems), *_pages(site.other)):
        yield AGAINST + path, file
    yield "difference.html", site.file("difference.html")
    for movie in site.comparison.movies:
        if not site.place.has_difference_of(movie.movie_id):
            continue
        num_clips = movie.equal + movie.changed + movie.only_first + movie.only_second
        for number in range(1, num_clip_pages(num_clips) + 1):
            path = f"difference/{movie.movie_id}/{number}.html"
            yield path, site.file(path)


def _clip_files(site: Site, problems: list[str]) -> Iterator[tuple[str, File]]:
    """Files of the clips; a damaged clip is left out, before any page links to it."""
    readable: set[str] = set()
    for clip_id in sorted(site.place.clips or ()):
        paths = [clip_file(clip_id, name) for name in site.media.names]
        try:
            files = [(path, site.file(path)) for path in paths]
        except (FormatError, StorageError) as error:
            problems.append(f"clip {clip_id} is left out: {error}")
            continue
        readable.add(clip_id)
        yield from files
    site.limit(readable, site.place.movies or (), site.place.differences or ())
    for clip_id in sorted(readable):
        yield clip_page(clip_id), site.file(clip_page(clip_id))


def _pages(site: Site) -> Iterator[tuple[str, File]]:
    yield "index.html", site.file("index.html")
    for number in range(1, num_movie_pages(site.catalog) + 1):
        yield movies_path(number), site.file(movies_path(number))
    if site.place.has_labels:
        yield LABELS_PAGE, site.file(LABELS_PAGE)
    for info in site.catalog.labels.infos:
        last = min(MAX_LABEL_PAGES, num_table_pages(site.catalog.labels, info.name))
        for number in range(1, last + 1):
            yield labels_path(info.name, number), site.file(labels_path(info.name, number))
    for movie_id in site.catalog.movie_ids[:MAX_MOVIE_PAGES]:
        num_clips = site.catalog.movie(movie_id)["num_clips"]
        pages = num_clip_pages(num_clips) if site.place.lists_clips(movie_id) else 1
        for number in range(1, pages + 1):
            path = movie_page(movie_id, number)
            yield path, site.file(path)
