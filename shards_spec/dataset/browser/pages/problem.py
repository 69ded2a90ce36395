"""What went wrong: shown instead of a page that cannot be made, and on the page of a movie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shards_spec.dataset.browser.pages.html import Markup, clock, count, seconds, tag, text
from shards_spec.dataset.browser.pages.shell import Place, page
from shards_spec.dataset.browser.reasons import STATUSES


def problem_page(place: Place, title: str, message: str) -> bytes:
    """What went wrong, in words."""
    return page(place, title, tag("p", text(message), class_="problem", role="alert"))


def is_processed(movie: Mapping[str, Any]) -> bool:
    """Whether a movie was processed completely, so that a zero in its row means "none"."""
    return movie["status"] in ("done", "skipped")


def outcome(movie: Mapping[str, Any], num_dropped: int) -> Markup:
    """The status of a movie, and what the dataset lacks of it."""
    status = str(movie["status"])
    badge = tag("span", status, class_=f"badge {status}")
    if status == "done":
        words = f" {count(int(movie['num_clips']), 'clip')}, {num_dropped or 'none'} dropped"
        words += f"; the movie is {clock(movie['duration_ns'])} long"
        return Markup(tag("p", badge, words) + _incomplete(movie))
    problem = tag(
        "div",
        tag("p", badge, " ", STATUSES.get(status, "")),
        tag("p", tag("b", "Cause: "), movie["error_class"]),
        tag("p", movie["error"]),
        tag("p", count(int(movie["attempts"]), "attempt"), class_="dim"),
        class_="problem",
        role="note",
    )
    if is_processed(movie):
        return Markup(problem + _incomplete(movie))
    words = "It was not processed to its end: dropped clips, filled audio and cropping are unknown."
    return Markup(problem + tag("p", words))


def _incomplete(movie: Mapping[str, Any]) -> Markup:
    """What is missing from a movie's video; nothing if it is whole."""
    missing, lost = int(movie.get("missing_ns") or 0), int(movie.get("video_lost_ns") or 0)
    damaged = int(movie.get("dropped_damaged") or 0)
    parts = []
    if missing > 0:
        declared = int(movie["declared_duration_ns"])
        of = f" of the declared {clock(declared)}" if declared >= missing else ""
        parts.append(f"The source is cut off: the last {clock(missing)}{of} are missing.")
    if lost > 0:
        parts.append(
            f"{seconds(lost)} of the video in the source cannot be shown: its clock jumps back, or "
            "that video is in another stream or in an appended part of the file."
        )
    if damaged > 0:
        were = "was" if damaged == 1 else "were"
        parts.append(f"{count(damaged, 'clip')} {were} dropped because frames are damaged.")
    if not parts:
        return Markup()
    if missing > 0 or damaged > 0:
        parts.append("With a whole copy of the source, preprocess the movie again.")
    items = (tag("p", part) for part in parts)
    title = tag("p", tag("b", "Incomplete"))
    return tag("div", title, *items, class_="problem", role="note")
