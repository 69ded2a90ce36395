"""The pages of the browser, as bytes of HTML."""

from __future__ import annotations

from shards_spec.dataset.browser.pages.clip import clip_page_of
from shards_spec.dataset.browser.pages.clip_list import num_clip_pages
from shards_spec.dataset.browser.pages.difference import difference_page, movie_difference_page
from shards_spec.dataset.browser.pages.html import text
from shards_spec.dataset.browser.pages.movie import movie_pages
from shards_spec.dataset.browser.pages.movies import movies_page, movies_path, num_movie_pages
from shards_spec.dataset.browser.pages.overview import overview_page
from shards_spec.dataset.browser.pages.problem import problem_page
from shards_spec.dataset.browser.pages.shell import POLICY, Place, clip_file, clip_page, movie_page

__all__ = [
    "POLICY",
    "Place",
    "clip_file",
    "clip_page",
    "clip_page_of",
    "difference_page",
    "movie_difference_page",
    "movie_page",
    "movie_pages",
    "movies_page",
    "movies_path",
    "num_clip_pages",
    "num_movie_pages",
    "overview_page",
    "problem_page",
    "text",
]
