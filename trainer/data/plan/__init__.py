"""Which clips meet in a batch: policy, index, epoch plan, position. numpy only, no torch.

More than six names, because the training stream, the report and the study all work on plans: they
share these nouns and nothing else of this room.
"""

from __future__ import annotations

from trainer.data.plan import epoch_plan, forecast, sources
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.lookahead import PlanLookahead
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.position import PlanState
from trainer.data.plan.substitutes import substitute_rows

__all__ = [
    "BatchPolicy",
    "ClipIndex",
    "PlanLookahead",
    "PlanState",
    "epoch_plan",
    "forecast",
    "sources",
    "substitute_rows",
]
