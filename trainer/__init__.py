"""Shards to models: the streaming contrastive trainer of reelshards.

Names are imported on first use, so that `import trainer` loads neither torch nor pyarrow: loader
workers import this package too. Training and evaluation are the functions `trainer.train.train` and
`trainer.runs.evaluate.evaluate`; they are not repeated here, where modules have the same names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.config import RECIPES, TrainConfig
    from trainer.data.loader import StreamConfig
    from trainer.data.plan import BatchPolicy
    from trainer.data.stream import ClipStream
    from trainer.runs.evaluate import export

__all__ = ["RECIPES", "BatchPolicy", "ClipStream", "StreamConfig", "TrainConfig", "export"]

#: Module of each public name.
_MODULES = {
    "BatchPolicy": "trainer.data.plan",
    "ClipStream": "trainer.data.stream",
    "RECIPES": "trainer.config.recipes",
    "StreamConfig": "trainer.data.loader",
    "TrainConfig": "trainer.config",
    "export": "trainer.runs.evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
