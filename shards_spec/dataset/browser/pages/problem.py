"""The page that is shown instead of one that cannot be made."""

from __future__ import annotations

from shards_spec.dataset.browser.pages.html import tag, text
from shards_spec.dataset.browser.pages.shell import Place, page


def problem_page(place: Place, title: str, message: str) -> bytes:
    """What went wrong, in words."""
    return page(place, title, tag("p", text(message), class_="problem", role="alert"))
