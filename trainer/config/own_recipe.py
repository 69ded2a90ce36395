"""Recipes of users: functions that return a `TrainConfig`, named by their import path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from shards_spec.errors import InputError, ReelshardsError
from trainer.config.train_config import TrainConfig


def own_recipe(path: str) -> TrainConfig:
    """The settings that `package.module:function` or `folder/file.py:function` returns.

    Modules are also looked for in the working folder, after all others.

    Raises `InputError` when there is no such function, or it fails or returns something else.
    """
    module_name, _, name = path.rpartition(":")
    module = _module(module_name, path)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"--config {path}: {module_name} has no function {name!r}")
    try:
        config = function()
    except ReelshardsError:
        raise
    except Exception as error:
        raise InputError(f"--config {path}: {name}() raised {error!r}") from error
    if not isinstance(config, TrainConfig):
        raise InputError(
            f"--config {path}: {name}() returned a {type(config).__name__}, not a TrainConfig"
        )
    return config


def _module(name: str, path: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _module_of_file(Path(name))
        folder = str(Path.cwd())
        sys.path.append(folder)
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(folder)
    except Exception as error:
        raise InputError(f"--config {path}: {name} cannot be imported: {error!r}") from error


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reelshards_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
