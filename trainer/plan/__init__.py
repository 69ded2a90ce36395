"""Which clips meet in a batch: policy, index, epoch plan, position. numpy only, no torch.

More than six names, because the training stream, the report and the study all work on plans: they
share these nouns and nothing else of this room.
"""

from __future__ import annotations

from trainer.plan.clip_index import ClipIndex
from trainer.plan.epoch_plan import BatchPlan, plan_epoch, plan_phases
from trainer.plan.forecast.dump import dump_epochs
from trainer.plan.forecast.guards import guarded_share
from trainer.plan.forecast.meet_again import MeetAgain, meet_again
from trainer.plan.forecast.shares import share_lines
from trainer.plan.forecast.walk import PlanWalk, Stretch
from trainer.plan.lookahead import PlanLookahead
from trainer.plan.policy import BatchPolicy
from trainer.plan.position import PlanState
from trainer.plan.sources import MovieCopy, Repeat
from trainer.plan.substitutes import substitute_rows

__all__ = [
    "BatchPlan",
    "BatchPolicy",
    "ClipIndex",
    "MeetAgain",
    "MovieCopy",
    "PlanLookahead",
    "PlanState",
    "PlanWalk",
    "Repeat",
    "Stretch",
    "dump_epochs",
    "guarded_share",
    "meet_again",
    "plan_epoch",
    "plan_phases",
    "share_lines",
    "substitute_rows",
]
