"""A dataset as a site: the file of each path, made on request.

The server and the static report have the same paths, and all links are relative:

    index.html, movies.html         overview, table of movies
    labels.html, labels/<name>/<n>.html   labels and texts, if there are any
    movie/<movie_id>/<n>.html       a movie, and page n of its clips
    clip/<clip_id>/index.html       a clip; next to it strip.jpg, thumb.jpg, logmel.png, audio.*
    difference.html                 with a second dataset: what differs
    difference/<movie_id>/<n>.html  a movie clip by clip
    against/...                     the pages of the second dataset
    assets/...                      style sheet, script, icon
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.comparison import Comparison
from shards_spec.dataset.browser.figures import Overview, overview_of
from shards_spec.dataset.browser.labels.pages import (
    LABELS_PAGE,
    labels_page,
    num_table_pages,
    table_page,
)
from shards_spec.dataset.browser.media import ClipMedia, File
from shards_spec.dataset.browser.pages import (
    clip_page_of,
    movie_pages,
    num_clip_pages,
    overview_page,
)
from shards_spec.dataset.browser.pages.difference import difference_page, movie_difference_page
from shards_spec.dataset.browser.pages.movies import movies_page, movies_path, num_movie_pages
from shards_spec.dataset.browser.pages.shell import Place
from shards_spec.dataset.browser.similar import Embeddings, read_embeddings
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from shards_spec.redaction import redacted, with_paths

ASSETS = {
    "browser.css": "text/css; charset=utf-8",
    "browser.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

AGAINST = "against/"

_HTML = "text/html; charset=utf-8"
_ID = r"[a-z0-9_-]{1,64}"
_MOVIES = re.compile(r"movies(?:-(\d{1,6}))?\.html")
_LABELS = re.compile(r"labels/([a-z][a-z0-9_]{0,63})/(\d{1,6})\.html")
_MOVIE = re.compile(rf"movie/({_ID})/(\d{{1,6}})\.html")
_DIFFERENCE = re.compile(rf"difference/({_ID})/(\d{{1,6}})\.html")
_CLIP = re.compile(rf"clip/({_ID}_\d{{6,10}})/([a-z]+\.[a-z]+)")


class NotFoundError(InputError):
    """The site has no such page."""


class Site:
    """The pages of a dataset; safe to use from several threads."""

    def __init__(
        self,
        dataset: Dataset,
        against: Dataset | None = None,
        embeddings: Embeddings | None = None,
        prefix: str = "",
    ) -> None:
        self.catalog = Catalog(dataset)
        self.media = ClipMedia(self.catalog, dataset.recipe.store_audio)
        self.other = Site(against, prefix=AGAINST) if against is not None else None
        self._embeddings = embeddings
        self.place = Place(
            "",
            shown_name(dataset),
            prefix=prefix,
            has_difference=against is not None,
            has_labels=bool(self.catalog.labels.infos),
        )

    def limit(
        self, clips: Collection[str], movies: Collection[str], differences: Collection[str] = ()
    ) -> None:
        """Let pages link only to these clips, and list the clips of these movies only."""
        self.place = replace(self.place, clips=clips, movies=movies, differences=differences)

    @cached_property
    def overview(self) -> Overview:
        """The numbers of the first page."""
        return overview_of(self.catalog)

    @cached_property
    def comparison(self) -> Comparison:
        """What differs from the second dataset."""
        if self.other is None:
            raise NotFoundError("there is no second dataset to compare with")
        return Comparison(self.catalog, self.other.catalog)

    def file(self, path: str) -> File:
        """The file at a path.

        Raises `NotFoundError` if there is none; `FormatError` or `StorageError` if a clip is
        damaged or cannot be read.
        """
        if path.startswith("assets/"):
            return _asset(path.removeprefix("assets/"))
        if path.startswith(AGAINST) and self.other is not None:
            return self.other.file(path.removeprefix(AGAINST))
        if found := _CLIP.fullmatch(path):
            return self._clip_file(path, found[1], found[2])
        return File(self._page(path), _HTML)

    def _page(self, path: str) -> bytes:
        place = self.place.at(path)
        if path == "index.html":
            return overview_page(place, self.catalog, self.overview)
        if found := _MOVIES.fullmatch(path):
            number = int(found[1] or 1)
            if 1 <= number <= num_movie_pages(self.catalog) and movies_path(number) == path:
                return movies_page(place, self.catalog, number)
        if path == LABELS_PAGE and place.has_labels:
            return labels_page(place, self.catalog.labels)
        labels = self.catalog.labels
        if (found := _LABELS.fullmatch(path)) and found[1] in labels:
            number, pages = int(found[2]), num_table_pages(labels, found[1])
            if 1 <= number <= pages:
                return table_page(place, labels, found[1], number)
        if (found := _MOVIE.fullmatch(path)) and found[1] in self.catalog:
            number, movie = int(found[2]), self.catalog.movie(found[1])
            if 1 <= number <= num_clip_pages(movie["num_clips"]):
                return movie_pages(place, self.catalog, found[1], number)
        if self.other is not None:
            return self._difference(path, place)
        raise NotFoundError(f"there is no page {path}")

    def _difference(self, path: str, place: Place) -> bytes:
        assert self.other is not None
        if path == "difference.html":
            names = self.place.name, self.other.place.name
            return difference_page(place, self.comparison, names)
        found = _DIFFERENCE.fullmatch(path)
        if found is None or not (found[1] in self.catalog or found[1] in self.other.catalog):
            raise NotFoundError(f"there is no page {path}")
        other = replace(self.other.place, path=path)
        return movie_difference_page(place, other, self.comparison, found[1], int(found[2]))

    def _clip_file(self, path: str, clip_id: str, name: str) -> File:
        if not self.place.has_clip(clip_id):
            raise NotFoundError(f"there is no page {path}")
        if name == "index.html":
            matches = self._embeddings.similar(clip_id) if self._embeddings else []
            place = self.place.at(path)
            made = clip_page_of(place, self.catalog, self.media, clip_id, matches)
            return File(made, _HTML)
        if name not in self.media.names:
            raise NotFoundError(f"there is no file {path}")
        return self.media.file(clip_id, name)


def open_site(uri: str, against: str = "", embeddings: str = "") -> Site:
    """Open a dataset, and if they are named a second one and a file of embeddings.

    Raises what `open_dataset` and `read_embeddings` raise.
    """
    dataset = open_dataset(uri)
    other = open_dataset(against) if against else None
    vectors = read_embeddings(Path(embeddings), dataset) if embeddings else None
    return Site(dataset, other, vectors)


def shown_name(dataset: Dataset) -> str:
    """Address of a dataset for people: without secrets."""
    return with_paths(redacted(dataset.storage.uri))


def _asset(name: str) -> File:
    if name not in ASSETS:
        raise NotFoundError(f"there is no file assets/{name}")
    data = resources.files("shards_spec.dataset.browser").joinpath("assets", name).read_bytes()
    return File(data, ASSETS[name])
