"""Datasets for people to look at: a local server, and a static report."""

from __future__ import annotations

from shards_spec.dataset.browser.comparison import Comparison, MovieDifference
from shards_spec.dataset.browser.report import write_report
from shards_spec.dataset.browser.server import BrowserServer
from shards_spec.dataset.browser.site import Site, open_site

__all__ = [
    "BrowserServer",
    "Comparison",
    "MovieDifference",
    "Site",
    "open_site",
    "write_report",
]
