"""Which clips meet in a batch: policy, index, epoch plan, position. numpy only, no torch.

More than six names, because the training stream, the report and the study all work on plans: they
share these nouns and nothing else of this room.
"""

from __future__ import annotations

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import BatchPlan, plan_epoch, plan_phases
from trainer.data.plan.forecast.dump import dump_epochs
from trainer.data.plan.forecast.guards import guarded_share
from trainer.data.plan.forecast.meet_again import MeetAgain, meet_again
from trainer.data.plan.forecast.shares import share_lines
from trainer.data.plan.forecast.walk import PlanWalk, Stretch
from trainer.data.plan.lookahead import PlanLookahead
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.position import PlanState
from trainer.data.plan.sources import MovieCopy, Repeat
from trainer.data.plan.substitutes import substitute_rows

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
