"""Which clips meet in a batch (numpy only)."""

from __future__ import annotations

from trainer.plan.clip_index import ClipIndex, Ints, movie_numbers
from trainer.plan.dump import dump_epochs
from trainer.plan.epoch_plan import (
    BatchPlan,
    Unused,
    movies_per_rank,
    naming_phase,
    plan_epoch,
    rank_slice,
)
from trainer.plan.lookahead import PlanAhead
from trainer.plan.policy import BatchPolicy
from trainer.plan.position import PlanState
from trainer.plan.row_filter import check_columns, columns_of
from trainer.plan.substitutes import replacements

__all__ = [
    "BatchPlan",
    "BatchPolicy",
    "ClipIndex",
    "Ints",
    "PlanAhead",
    "PlanState",
    "Unused",
    "check_columns",
    "columns_of",
    "dump_epochs",
    "movie_numbers",
    "movies_per_rank",
    "naming_phase",
    "plan_epoch",
    "rank_slice",
    "replacements",
]
