"""The pages of the browser, as bytes of HTML."""

from __future__ import annotations

from shards_spec.dataset.browser.pages import difference, movies, shell
from shards_spec.dataset.browser.pages.clip import clip_page_of
from shards_spec.dataset.browser.pages.clip_list import num_clip_pages
from shards_spec.dataset.browser.pages.movie import movie_pages
from shards_spec.dataset.browser.pages.overview import overview_page
from shards_spec.dataset.browser.pages.problem import problem_page

__all__ = [
    "clip_page_of",
    "difference",
    "movie_pages",
    "movies",
    "num_clip_pages",
    "overview_page",
    "problem_page",
    "shell",
]
