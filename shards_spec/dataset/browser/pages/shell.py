"""What all pages have in common: head, navigation, and where other pages are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from shards_spec.dataset.browser.pages.html import Markup, join, link, tag, text
from shards_spec.version import version

#: Scripts, styles, images and audio come from the site itself; nothing else is loaded or sent.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Place:
    """Where a page is in the site, and which other pages exist."""

    path: str
    """Of the page, relative to the site: `movie/heat/1.html`."""
    name: str
    """What the dataset is called."""
    prefix: str = ""
    """`against/` for the pages of the dataset that is compared with."""
    has_difference: bool = False
    has_labels: bool = False
    clips: Collection[str] | None = None
    """Clips that have pages and media; None for all of them."""
    movies: Collection[str] | None = None
    """Movies whose clips are listed; None for all of them."""
    differences: Collection[str] | None = None
    """Movies that are compared clip by clip; None for all of them."""

    def to(self, target: str) -> str:
        """Address of another file of this dataset's pages, relative to this page."""
        return self.to_root(self.prefix + target)

    def to_root(self, target: str) -> str:
        """Address of a file of the whole site, relative to this page."""
        return "../" * self.path.count("/") + target

    def at(self, path: str) -> Place:
        """The place of another page."""
        return replace(self, path=self.prefix + path)

    def has_clip(self, clip_id: str) -> bool:
        """Whether a clip has a page."""
        return self.clips is None or clip_id in self.clips

    def has_difference_of(self, movie_id: str) -> bool:
        """Whether there is a page about how a movie differs."""
        return self.differences is None or movie_id in self.differences

    def lists_clips(self, movie_id: str) -> bool:
        """Whether the clips of a movie are listed."""
        return self.movies is None or movie_id in self.movies


def movie_page(movie_id: str, number: int = 1) -> str:
    """Path of a page about a movie; clips are listed on several."""
    return f"movie/{movie_id}/{number}.html"


def clip_page(clip_id: str) -> str:
    """Path of the page about a clip."""
    return f"clip/{clip_id}/index.html"


def clip_file(clip_id: str, name: str) -> str:
    """Path of an image or of the audio of a clip."""
    return f"clip/{clip_id}/{name}"


def page(place: Place, title: str, *content: object) -> bytes:
    """A whole page."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · {place.name}"),
        tag("link", rel="icon", href=place.to_root("assets/icon.svg")),
        tag("link", rel="stylesheet", href=place.to_root("assets/browser.css")),
        tag("script", src=place.to_root("assets/browser.js"), defer=True),
    )
    body = tag(
        "body",
        link("#content", "Skip to the content", class_="skip"),
        tag("header", _name(place), _navigation(place)),
        tag("main", tag("h1", title), *content, id="content"),
        tag("footer", f"reelshards {version()}. Pages load nothing from the network."),
    )
    return join([Markup("<!DOCTYPE html>"), tag("html", head, body, lang="en")], "\n").encode()


def _name(place: Place) -> Markup:
    parts = [tag("strong", text(place.name, 120))]
    if place.prefix:
        parts.append(tag("span", "compared with", class_="badge"))
    return tag("p", join(parts, " "), class_="dataset")


def _navigation(place: Place) -> Markup:
    targets = [("Overview", place.to("index.html")), ("Movies", place.to("movies.html"))]
    if place.has_labels:
        targets.append(("Labels", place.to("labels.html")))
    if place.has_difference:
        targets.append(("Difference", place.to_root("difference.html")))
    if place.prefix:
        targets.append(("Back to the first dataset", place.to_root("index.html")))
    here = place.path.rsplit("/", 1)[-1]
    links = (
        link(target, name, aria_current="page" if target == here else None)
        for name, target in targets
    )
    return tag("nav", *links, aria_label="Pages")
