"""Imports of the project's other packages, with clear errors for the two ways that can fail.

Their names (`pipeline`, `trainer`) are common ones. When the folder of a script, or the working
folder of `python -m`, contains a `trainer.py`, Python finds that file instead of our package.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shards_spec.errors import InputError

#: Folder that holds all packages of this installation.
_INSTALLED = Path(__file__).resolve().parent.parent

#: The extra that installs what a package needs.
_EXTRAS = {"pipeline": "pipeline", "trainer": "trainer"}


def attribute(module: str, name: str = "") -> Any:
    """An attribute of a module of this project, or the module itself when `name` is empty.

    Raises `ImportError` when another module hides the project's package, or when a dependency of
    it is not installed; the message says what to do.
    """
    package = module.partition(".")[0]
    _require_ours(package)
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if package not in _EXTRAS or missing in ("", package, "shards_spec", "reelshards"):
            raise
        raise ImportError(
            f"{package} needs {missing}, which is not installed; "
            f"install it with: pip install 'reelshards[{_EXTRAS[package]}]'",
            name=missing,
        ) from error
    return getattr(loaded, name) if name else loaded


def can_import(*modules: str) -> bool:
    """Whether modules of this project can be imported; if not, stderr says why."""
    try:
        for module in modules:
            attribute(module)
    except ImportError as error:
        sys.stderr.write(f"error: {error}\n")
        return False
    return True


def _require_ours(package: str) -> None:
    """Raise `ImportError` when `import package` finds a module outside of this installation."""
    spec = find_spec(package)
    path = _path(spec)
    if path is None or path.resolve().parent.parent == _INSTALLED:
        return
    raise ImportError(
        f"{path} hides the package {package!r} that is part of reelshards; rename that file, or "
        "run from another folder (the command `reelshards` ignores the working folder)",
        name=package,
        path=str(path),
    )


def _path(spec: ModuleSpec | None) -> Path | None:
    """The file that an import would load; None for a package that does not exist."""
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin)
    # A folder without `__init__.py`.
    locations = list(spec.submodule_search_locations or [])
    return Path(locations[0]) / "__init__.py" if locations else None


def sorted_settings(
    settings: dict[str, Any], first: type[Any], second: type[Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments as fields of one and of the other dataclass. Raises `InputError`."""
    of_first = {item.name for item in dataclasses.fields(first)}
    of_second = {item.name for item in dataclasses.fields(second)}
    if unknown := sorted(set(settings) - of_first - of_second):
        raise InputError(
            f"unknown settings {', '.join(unknown)}; see the fields of {first.__name__} and "
            f"{second.__name__}"
        )
    return (
        {name: value for name, value in settings.items() if name in of_first},
        {name: value for name, value in settings.items() if name in of_second},
    )
