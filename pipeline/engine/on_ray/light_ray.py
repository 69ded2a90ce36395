"""Imports Ray without packages that it loads for what it seldom does; a third of its imports.

This module imports nothing of ours, because `worker_entry` runs it as a file.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

#: For schemas of environments for workers, files of labels, and questions to clouds about TPUs.
_SELDOM_USED = ("jsonschema", "requests", "yaml")


class _Later(ModuleType):
    """Stands for a package until an attribute of it is used."""

    def __getattr__(self, name: str) -> Any:
        # Others are what Python looks up in every module that is imported.
        if name.startswith("__") and name not in ("__path__", "__version__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_ray() -> ModuleType:
    """Import Ray, if it was not imported yet. Nobody else gets the stand-ins of the packages."""
    if "ray" in sys.modules:
        return sys.modules["ray"]
    later = {name: _Later(name) for name in _SELDOM_USED if name not in sys.modules}
    sys.modules.update(later)
    was_enabled = gc.isenabled()
    # Nearly all that is made stays, and to search it for garbage takes long.
    gc.disable()
    try:
        ray = import_module("ray")
        # Ray imports it when it connects.
        import_module("ray._common.usage.usage_lib")
        return ray
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
