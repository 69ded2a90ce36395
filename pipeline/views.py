"""Views: several datasets that one run makes of a corpus, each with a recipe of its own.

    --out data --view small:fps=5,short-side=128 --view large:fps=1,short-side=256

gives the datasets `data/small` and `data/large`. Settings that a view does not name are those of
the run. Every movie is probed once, and decoded once if nothing in it is damaged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe

#: Settings of which there is only one for each movie: which of its audio tracks is used.
SHARED_SETTINGS = ("language",)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class ViewTarget:
    """One view: where its dataset is written, and how movies become its clips."""

    name: str
    out: str
    """URI of the dataset."""
    recipe: Recipe


def views_of(
    views: Mapping[str, Mapping[str, Any]], out: str, recipe: Recipe
) -> tuple[ViewTarget, ...]:
    """The views of a run.

    Args:
        views: by name, the settings that differ from `recipe`; `out` among them is the URI of the
            dataset, by default the view's name below the run's own.
        out: where the run writes its datasets.
        recipe: the settings of all views.

    Raises `InputError` if they cannot be made together.
    """
    if not views:
        raise InputError("views: at least one is needed, such as small:fps=5,short-side=128")
    known = {item.name for item in fields(Recipe)} - {"fast_decode"}
    targets = []
    for name, given in views.items():
        settings = {key.replace("-", "_"): value for key, value in given.items()}
        if not _NAME.fullmatch(name):
            raise InputError(f"view {name!r}: a name has letters, digits, `.`, `_` and `-`")
        if unknown := sorted(set(settings) - known - {"out"}):
            raise InputError(
                f"view {name}: unknown settings {', '.join(unknown)}; known are "
                f"{', '.join(sorted(known))}, and out"
            )
        uri = str(settings.pop("out", f"{out.rstrip('/')}/{name}"))
        try:
            targets.append(ViewTarget(name, uri, replace(recipe, **settings)))
        except InputError as error:
            raise InputError(f"view {name}: {error}") from error
    require_compatible(targets)
    return tuple(targets)


def require_compatible(targets: Sequence[ViewTarget]) -> None:
    """Raise `InputError` if views cannot share a decoder, or would write to the same dataset."""
    first = targets[0]
    for other in targets[1:]:
        for name in SHARED_SETTINGS:
            values = [getattr(target.recipe, name) for target in (first, other)]
            if values[0] != values[1]:
                raise InputError(
                    f"views {first.name} and {other.name} differ in {name} ({values[0]!r} and "
                    f"{values[1]!r}), which all views of a run share; use a run for each"
                )
    if len(targets) > 1 and any(target.recipe.fast_decode for target in targets):
        raise InputError(
            "views cannot be made with --decode fast: which frames it shows depends on the recipe; "
            "use a run for each, or --decode exact"
        )
    uris: dict[str, str] = {}
    for target in targets:
        is_path = "://" not in target.out
        uri = os.path.realpath(target.out) if is_path else target.out.rstrip("/")
        if uri in uris:
            raise InputError(f"views {uris[uri]} and {target.name} have the same output {uri}")
        uris[uri] = target.name


def parse_views(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`NAME:key=value,...` of each `--view`, as `views_of` takes them. Raises `InputError`."""
    views: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        if name in views:
            raise InputError(f"--view {name} is given twice")
        views[name] = {}
        for item in filter(None, rest.split(",")):
            key, equals, value = item.partition("=")
            if not equals:
                raise InputError(f"--view {text}: {item!r} is not a setting such as fps=5")
            key = key.strip().replace("-", "_")
            views[name][key] = _value(key, value.strip(), text)
    return views


def _value(key: str, text: str, view: str) -> Any:
    """The value of a setting, with the type of the recipe's field; others stay text."""
    kind = get_type_hints(Recipe).get(key)
    try:
        if kind is bool:
            return _BOOLS[text.lower()]
        return kind(text) if kind in (int, float) else text
    except (KeyError, ValueError) as error:
        assert isinstance(kind, type)
        raise InputError(f"--view {view}: {key}={text} is not a {kind.__name__}") from error
