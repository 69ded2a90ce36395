"""HTML whose texts are always escaped: names, tags and messages come from untrusted files."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from shards_spec.recipe import NANOSECONDS
from shards_spec.redaction import plain, redacted, with_paths

#: Characters of a text that a page shows; the rest is counted.
MAX_TEXT = 2_000

#: Elements that have no content and no end tag.
_VOID = ("img", "input", "link", "meta", "br")

#: Most texts of a page: numbers, classes, ids. Nothing in them needs to be changed.
_HARMLESS = re.compile(r"[A-Za-z0-9 .,_%+-]*")

#: What would end a `<script>` element, or is not allowed in the scripts of some browsers.
_IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Markup(str):
    """Text that is HTML. Anything else is escaped where it becomes part of a page."""

    __slots__ = ()


def text(value: object, limit: int = MAX_TEXT) -> Markup:
    """Any value as escaped text: without control characters, secrets, and excessive length."""
    shown = str(value)
    if len(shown) <= limit and _HARMLESS.fullmatch(shown):
        return Markup(shown)
    return Markup(html.escape(shortened(shown, limit)))


def shortened(value: object, limit: int) -> str:
    """The same before it is escaped.

    Cut first: looking for secrets in a text of megabytes would take minutes.
    """
    whole = str(value)
    shown = plain(whole[: 2 * limit])
    if "//" in shown or "=" in shown:
        # Secrets are in addresses and after an equals sign; most texts have neither.
        shown = plain(with_paths(redacted(whole[: 2 * limit])))
    if len(shown) > limit or len(whole) > 2 * limit:
        return f"{shown[:limit]}… ({len(whole):,} characters)"
    return shown


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """Parts one after the other; those that are not markup are escaped."""
    return Markup(separator.join(_markup(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Underscores in names of attributes become hyphens, one at the end is dropped.

    Attributes that are None or False are left out; those that are True have no value.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{text(value)}"')
    parts.append(">")
    if name in _VOID:
        return Markup("".join(parts))
    return Markup(f"{''.join(parts)}{join(children)}</{name}>")


def data_block(name: str, values: Any) -> Markup:
    """JSON for the page's script. It is not executed, and no text in it can end the element."""
    written = json.dumps(values, separators=(",", ":"), ensure_ascii=True)
    safe = written.translate(_IN_SCRIPT)
    return Markup(f'<script type="application/json" id="{text(name)}">{safe}</script>')


def link(target: str, *children: object, **attributes: object) -> Markup:
    """A link within the site."""
    return tag("a", *children, href=target, **attributes)


def table(
    caption: object, heads: Sequence[object], rows: Iterable[Sequence[object]], **attributes: object
) -> Markup:
    """A table with a caption. The first cell of a row is its heading.

    Tables scroll sideways within their own region; the script makes it a tab stop if it scrolls.
    Columns without a name, such as bars, have no heading.
    """
    cells = (tag("th", cell, scope="col") if cell else tag("td") for cell in heads)
    head = tag("tr", *cells) if heads else Markup()
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    ]
    content = tag(
        "table",
        tag("caption", caption),
        tag("thead", head) if heads else Markup(),
        tag("tbody", *body),
        **attributes,
    )
    return tag("div", content, class_="scroll", role="group", aria_label=caption)


def facts(caption: object, values: Iterable[tuple[object, object]]) -> Markup:
    """Names and values in two columns."""
    return table(caption, (), values, class_="facts")


def section(title: str, *children: object, **attributes: object) -> Markup:
    """A section with a heading of level 2."""
    return tag("section", tag("h2", title), *children, **attributes)


def clock(ns: int) -> str:
    """Time on the movie timeline: `1:02:03.4`, or `2:03.4` below an hour."""
    tenths = round(ns * 10 / NANOSECONDS)
    minutes, rest = divmod(abs(tenths), 600)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if tenths < 0 else ""
    seconds = f"{rest // 10:02}.{rest % 10}"
    return f"{sign}{hours}:{minutes:02}:{seconds}" if hours else f"{sign}{minutes}:{seconds}"


def time_range(start_ns: int, end_ns: int) -> str:
    """`0:03.2 to 0:06.4`."""
    return f"{clock(start_ns)} to {clock(end_ns)}"


def seconds(ns: float) -> str:
    """A length in seconds: `3.20 s`."""
    return f"{ns / NANOSECONDS:,.2f} s"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 movie`, `2 movies`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(num_bytes: float) -> str:
    """Bytes in decimal units."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:,.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} TB"


def _markup(part: object) -> str:
    return part if isinstance(part, Markup) else text(part)
