"""Becomes a Ray worker in this interpreter; Ray runs this file in place of its `setup_worker.py`.

Ray's own file imports Ray to prepare an environment, and then starts another interpreter, which
imports Ray again. If no environment has to be prepared, this interpreter becomes the worker. This
file is a script and must not import our packages: they may be in the driver's folder, which Ray
adds to the module search path later.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_ENVIRONMENT, _LANGUAGE = "--serialized-runtime-env-context=", "--language="


def command_of(arguments: list[str]) -> list[str]:
    """The script to run with its arguments: Ray's worker, or what prepares its environment."""
    own = [part for part in arguments if part.startswith((_ENVIRONMENT, _LANGUAGE))]
    script, *rest = [part for part in arguments if part not in own]
    needs_nothing = set(own) <= {_ENVIRONMENT, f"{_ENVIRONMENT}{{}}", f"{_LANGUAGE}PYTHON"}
    if needs_nothing and script.endswith("default_worker.py"):
        return [script, *rest]
    ray = Path(import_module("ray").__file__ or "").parent
    return [str(ray / "_private" / "workers" / "setup_worker.py"), *arguments]


def _import_ray() -> None:
    """Import Ray, without support for values that tasks do not exchange; see `lean_start`."""
    runpy.run_path(str(Path(__file__).with_name("light_ray.py")))["import_ray"]()
    addons: Any = import_module("ray.util.serialization_addons")
    addons.apply = lambda context: None


if __name__ == "__main__":
    sys.argv = command_of(sys.argv[1:])
    # As if Python had been started with that script.
    sys.path[0] = str(Path(sys.argv[0]).parent)
    _import_ray()
    runpy.run_path(sys.argv[0], run_name="__main__")
