"""Where a run stands in its data: a few integers, a policy and a fingerprint. Nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from shards_spec.errors import InputError
from trainer.plan.policy import BatchPolicy


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """The next batch to read. The same on every rank, and for any number of ranks and loaders."""

    epoch: int
    step: int
    """Step within the epoch, from 0."""
    seed: int
    index_fingerprint: str
    """`ClipIndex.fingerprint`."""
    policy: BatchPolicy
    steps_done: int = 0
    """Steps of the run before it; the policy's schedule goes by it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> PlanState:
        """Inverse of `to_json`."""
        try:
            return PlanState(**{**values, "policy": BatchPolicy.from_json(values["policy"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"saved position in the data is broken: {error!r}") from error

    def on_grown(self, index_fingerprint: str) -> PlanState:
        """The same position on a dataset that has grown since.

        The rule: an epoch is planned on one index. The one that was under way ends here, its clips
        that no step has used wait for later epochs, and the next epoch begins with all clips.
        """
        if index_fingerprint == self.index_fingerprint:
            return self
        epoch = self.epoch + (self.step > 0)
        return dataclasses.replace(self, epoch=epoch, step=0, index_fingerprint=index_fingerprint)

    def check(self, other: PlanState) -> None:
        """Raise `InputError` unless `other` reads the same batches; epoch and step may differ.

        `self` is the saved state, `other` the one of the run at hand; each difference is named.
        """
        saved, now = _flat(self), _flat(other)
        differences = [
            f"{name} was {saved[name]!r}, is {now[name]!r}"
            for name in saved
            if saved[name] != now[name]
        ]
        if differences:
            raise InputError(
                f"this run cannot go on where the saved one stopped: {'; '.join(differences)}; "
                "restore these settings and the dataset, start a new run, or, if the dataset has "
                "only grown, set --accept-grown"
            )


def _flat(state: PlanState) -> dict[str, Any]:
    policy = {f"policy.{name}": value for name, value in state.policy.to_json().items()}
    return {"seed": state.seed, "index_fingerprint": state.index_fingerprint, **policy}
