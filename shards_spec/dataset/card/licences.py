"""Licences of the movies, as far as columns of the manifest name them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from shards_spec.dataset.card.subject import ordered
from shards_spec.schema import MovieRow

#: Names of manifest columns that say under which terms a movie may be used, most specific first.
LICENCE_COLUMNS = ("license", "licence", "license_url", "licence_url", "rights")
#: Names of manifest columns that say who is to be named.
CREDIT_COLUMNS = ("attribution", "credit", "copyright")

#: Identifiers that hubs know, by which datasets are searched there.
_KNOWN = frozenset(
    {
        *("cc0-1.0", "pddl", "unlicense", "odbl", "odc-by", "mit", "apache-2.0", "gfdl"),
        *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
        *(
            f"cc-by-{kind}-{version}"
            for kind in ("nc", "nc-sa")
            for version in ("2.0", "3.0", "4.0")
        ),
        *(f"cc-by-{kind}-{version}" for kind in ("sa", "nc-nd") for version in ("3.0", "4.0")),
        "cc-by-nd-4.0",
    }
)
#: https://creativecommons.org/licenses/by-sa/4.0/deed.de
_CC_ADDRESS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/(\d\.\d)")


def licence_counts(rows: Sequence[MovieRow], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Movies by stated value, for each column of `names` (in any case) that the rows have."""
    columns = sorted({name for row in rows for name in row.extra if name.casefold() in names})
    counts = {
        column: Counter(_text(row.extra[column]) for row in rows if row.extra.get(column))
        for column in columns
    }
    return {column: ordered(values) for column, values in counts.items() if values}


def stated_licences(rows: Sequence[MovieRow]) -> list[str]:
    """The distinct licences of the movies, sorted; none unless every movie states one."""
    stated = [_licence(row) for row in rows]
    return sorted(set(stated)) if stated and all(stated) else []


def hub_licences(rows: Sequence[MovieRow]) -> list[str]:
    """The same as identifiers that hubs know; none unless all of them are known."""
    ids = {hub_id(licence) for licence in stated_licences(rows)}
    return [] if "" in ids else sorted(ids)


def hub_id(licence: str) -> str:
    """`CC BY-SA 4.0`, or the licence's address -> `cc-by-sa-4.0`; empty if it is not known."""
    text = licence.casefold().strip()
    if found := _CC_ADDRESS.search(text):
        kind, version = found.groups()
        text = f"cc0-{version}" if kind == "zero" else f"cc-{kind}-{version}"
    name = re.sub(r"[\s_-]+", "-", text)
    return name if name in _KNOWN else ""


def _licence(row: MovieRow) -> str:
    """What a movie states in the most specific of its columns; empty without one."""
    by_name = {name.casefold(): value for name, value in row.extra.items() if value}
    return next((_text(by_name[name]) for name in LICENCE_COLUMNS if name in by_name), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True)
