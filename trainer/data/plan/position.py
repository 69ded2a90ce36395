"""A run's position in its data: a few integers, a policy and a fingerprint, nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from shards_spec.errors import InputError
from trainer.data.plan.policy import BatchPolicy


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """The next batch to read. It is the same on every rank and for any number of ranks."""

    epoch: int
    step: int
    """Step within the epoch, from 0."""
    seed: int
    index_fingerprint: str
    """`ClipIndex.fingerprint`."""
    policy: BatchPolicy
    steps_done: int = 0
    """Steps of the run before this position; the policy's schedule depends on it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> PlanState:
        """Inverse of `to_json`. Raises `InputError` on missing or unknown values."""
        try:
            return PlanState(**{**values, "policy": BatchPolicy.from_json(values["policy"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"the saved position in the data is corrupt: {error!r}") from error

    def on_appended(self, index_fingerprint: str) -> PlanState:
        """The same position in a dataset to which movies were appended since.

        An epoch is planned on one index. So the current epoch ends here, its remaining clips wait
        for later epochs, and the next epoch starts with all clips.
        """
        if index_fingerprint == self.index_fingerprint:
            return self
        epoch = self.epoch + (self.step > 0)
        return dataclasses.replace(self, epoch=epoch, step=0, index_fingerprint=index_fingerprint)

    def check(self, current: PlanState) -> None:
        """Raise `InputError` unless `current` reads the same batches; epoch and step may differ.

        `self` is the saved state, `current` the one of this run. The message names each difference.
        """
        saved, now = _flat(self), _flat(current)
        differences = [
            f"{name} was {saved[name]!r}, is {now[name]!r}"
            for name in saved
            if saved[name] != now[name]
        ]
        if differences:
            raise InputError(
                f"cannot resume with other data settings: {'; '.join(differences)}; restore these "
                "settings and the dataset, start a new run, or, if movies were only appended to "
                "the dataset, set --allow-appended-data"
            )


def _flat(state: PlanState) -> dict[str, Any]:
    policy = {f"policy.{name}": value for name, value in state.policy.to_json().items()}
    return {"seed": state.seed, "index_fingerprint": state.index_fingerprint, **policy}
