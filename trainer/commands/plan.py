"""The command `plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from trainer.config import RECIPES
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.settings import SupplyConfig

RecipeName = Annotated[str, tyro.conf.arg(metavar=f"{{auto,{','.join(RECIPES)},MODULE:FUNCTION}}")]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Show the batches of a policy on a dataset, before training on them."""

    data: tuple[str, ...]
    """URI of the dataset; or of several, with `--data-weights`."""
    config: RecipeName = "auto"
    """Recipe that provides the defaults of policy and seed."""
    dump: str = ""
    """File to write the global batches to, one JSON line per step; empty for none."""
    epochs: int = 1
    """Epochs in the dump."""
    json: bool = False
    """Print JSON instead of a table."""
    seed: int = 0
    """Determines the batches."""
    policy: BatchPolicy
    stream: StreamConfig = field(default_factory=StreamConfig)
    supply: SupplyConfig = field(default_factory=SupplyConfig)

    def run(self) -> int:
        """Print the report, and write the dump if requested."""
        from trainer.plan_report import plan_command

        return plan_command(
            self.data,
            self.policy,
            self.seed,
            self.epochs,
            self.dump,
            self.json,
            self.stream.on_this_machine(),
            self.supply,
        )
