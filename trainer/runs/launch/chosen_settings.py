"""The settings of a launch: a recipe or a run, changed by a file, then by single settings.

--config NAME | module:function     |
--from RUN                          | one of these is the basis,
(the run in --run, when it exists)  |
  -> --settings FILE.toml -> --set a.b=value (several) -> flags such as --policy.clips-per-movie
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from shards_spec.errors import InputError
from trainer.config import TrainConfig, recipe
from trainer.runs.config_file import resumed_config

_T = TypeVar("_T")

#: Key of a settings file that names the recipe it changes.
RECIPE_KEY = "config"

#: Key that names the dataset, or several.
DATA_KEY = "data"


def chosen_settings(
    *, config: str = "", from_run: str = "", run: str = "", file: str = "", changes: Sequence[str]
) -> TrainConfig:
    """The settings that the arguments choose; flags are not among them.

    Raises `InputError` for a file, run, recipe or setting that does not exist.
    """
    values = read_settings(Path(file)) if file else {}
    named = values.pop(RECIPE_KEY, "")
    values.pop(DATA_KEY, None)
    if not isinstance(named, str):
        raise InputError(f"{file}: {RECIPE_KEY} = {named!r} is not the name of a recipe")
    if from_run and config:
        raise InputError("--from and --config both name a basis of the settings; use one of them")
    settings = _basis(config, from_run, run, named)
    if values:
        settings = with_values(settings, values, file)
    for change in changes:
        settings = with_values(settings, _parsed(change), f"--set {change}")
    return settings


def data_of_settings(file: str) -> tuple[str, ...]:
    """The datasets that a settings file names; none if it names none.

    Raises `InputError` when the file cannot be read or names them by anything but texts.
    """
    data = read_settings(Path(file)).get(DATA_KEY, [])
    uris = [data] if isinstance(data, str) else data
    if not isinstance(uris, list) or not all(isinstance(uri, str) and uri for uri in uris):
        raise InputError(f"{file}: {DATA_KEY} = {data!r} is not the URI of a dataset or a list")
    return tuple(uris)


def _basis(config: str, from_run: str, run: str, named: str) -> TrainConfig:
    if config:
        return recipe(config)
    if from_run:
        other = resumed_config(from_run)
        if other is None:
            raise InputError(f"--from {from_run} contains no run (no config.json)")
        return other
    return (resumed_config(run) if run else None) or recipe(named or "auto")


def read_settings(path: Path) -> dict[str, Any]:
    """The contents of a TOML file. Raises `InputError` when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"--settings {path} cannot be read: {error}") from error


def with_values(settings: _T, values: Mapping[str, Any], where: str) -> _T:
    """The settings with nested values replaced; hyphens and underscores are the same.

    Raises `InputError`, naming `where`, for unknown names and values of another type.
    """
    return _replaced(settings, values, where, "")


def _parsed(change: str) -> dict[str, Any]:
    """`policy.clips_per_movie=8` -> {"policy": {"clips_per_movie": 8}}."""
    name, equals, text = change.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--set {change}: write it as name=value, such as optimizer.lr=3e-4")
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        # Texts need no quotes.
        value = text.strip()
    for part in reversed(name.strip().split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _replaced(settings: _T, values: Mapping[str, Any], where: str, prefix: str) -> _T:
    hints = get_type_hints(type(settings))
    changes = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1)
            advice = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(hints)}"
            raise InputError(f"{where}: there is no setting {prefix}{key}; {advice}")
        before = getattr(settings, name)
        full = f"{prefix}{name}"
        if dataclasses.is_dataclass(before):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: {full} is a table of settings, not {value!r}")
            changes[name] = _replaced(before, value, where, f"{full}.")
        else:
            changes[name] = _converted(value, hints[name], f"{where}: {full}")
    replaced: Any = dataclasses.replace(settings, **changes)  # type: ignore[type-var]
    return typing.cast(_T, replaced)


def _converted(value: Any, kind: Any, where: str) -> Any:
    """`value` as a `kind`. Raises `InputError` when it is of another type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value in arguments and type(value) in {type(choice) for choice in arguments}:
            return value
        choices = ", ".join(map(str, arguments))
        raise InputError(f"{where} = {value!r}: choose one of {choices}")
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _converted(value, option, where)
            except InputError:
                continue
        raise InputError(f"{where} = {value!r} has the wrong type")
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        if len(kinds) != len(value):
            raise InputError(f"{where} = {value!r}: expected {len(kinds)} values")
        return tuple(_converted(item, each, where) for item, each in zip(value, kinds, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is type(None) and value is None:
        return None
    # For Python, booleans are integers.
    is_boolean = isinstance(value, bool)
    if isinstance(kind, type) and isinstance(value, kind) and is_boolean == (kind is bool):
        return value
    name = getattr(kind, "__name__", str(kind))
    raise InputError(f"{where} = {value!r} is not a {name}")
