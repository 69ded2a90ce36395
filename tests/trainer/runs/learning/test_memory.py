"""Recomputation: as little as fits in memory. Operation counts, and the checks of a device."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from shards_spec.errors import InputError
from trainer.config.recipes import r2plus1d18, small
from trainer.models import TwoTowers
from trainer.runs.learning.flops import flops_per_clip, peak_flops
from trainer.runs.learning.memory import GIB, MemoryPlan, expected_bytes, plan_memory
from trainer.runs.learning.prepare import check_convolutions

CPU = torch.device("cpu")
#: Peaks on an H100 (`benchmarks/results/gpu_h100.md`), GiB, by what is recomputed and parts.
MEASURED = {
    ("nothing", 1): 63.2, ("norms", 1): 39.0, ("segments", 1): 19.6,
    ("nothing", 2): 32.4, ("norms", 2): 20.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> TwoTowers:
    with torch.device("meta"):
        return TwoTowers(r2plus1d18().model)


def plan(model: TwoTowers, gib: float, num_parts: int = 1) -> MemoryPlan | None:
    config = dataclasses.replace(r2plus1d18(), memory_gib=gib, accumulate=num_parts)
    return plan_memory(model, config, CPU, 256, 16)


@pytest.mark.parametrize(("recompute", "num_parts"), MEASURED)
def test_expected_memory_is_what_was_measured(
    model: TwoTowers, recompute: str, num_parts: int
) -> None:
    expected = dict(expected_bytes(model, r2plus1d18(), 256, 16, num_parts))
    assert expected[recompute] / GIB == pytest.approx(MEASURED[recompute, num_parts], rel=0.06)  # type: ignore[index]


@pytest.mark.parametrize(
    ("gib", "recompute"), [(80.0, "nothing"), (60.0, "norms"), (24.0, "segments")]
)
def test_the_fastest_setting_that_fits_is_chosen(
    model: TwoTowers, gib: float, recompute: str
) -> None:
    found = plan(model, gib)
    assert found is not None
    assert found.recompute == recompute
    assert f"of {gib:.1f}" in found.line()


def test_too_large_batches_are_rejected_with_the_number_of_parts_that_fit(model: TwoTowers) -> None:
    with pytest.raises(InputError, match="--accumulate 2"):
        plan(model, 16.0)
    assert plan(model, 16.0, num_parts=2) is not None
    with pytest.raises(InputError, match="movies-per-batch"):
        plan(model, 0.5)


def test_small_networks_need_no_memory_plan() -> None:
    assert plan_memory(TwoTowers(small().model), small(), CPU, 64, 16) is None


def test_floating_point_operations_are_counted() -> None:
    # 248 GFLOP per clip, 5 of them in the audio tower.
    assert flops_per_clip(r2plus1d18().model, 16, 112, 80, 320) == pytest.approx(248e9, rel=1e-3)
    half = flops_per_clip(r2plus1d18().model, 8, 112, 80, 320)
    assert half == pytest.approx(124e9, rel=0.05)
    assert math.isnan(peak_flops(CPU))


def test_right_convolutions_pass_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    # The time on the CPU is not meaningful.
    monkeypatch.setattr("trainer.runs.learning.prepare.MAX_SLOWDOWN", math.inf)
    check_convolutions(CPU, said.append)
    assert said == []


@pytest.mark.parametrize("fault", [1.1, math.nan])
def test_wrong_convolutions_are_rejected(monkeypatch: pytest.MonkeyPatch, fault: float) -> None:
    original = torch.nn.functional.conv3d

    def wrong(x: torch.Tensor, *arguments: object) -> torch.Tensor:
        out = original(x, *arguments)  # type: ignore[arg-type]
        return out * fault if x.dtype == torch.bfloat16 else out

    monkeypatch.setattr("trainer.runs.learning.prepare.MAX_SLOWDOWN", math.inf)
    monkeypatch.setattr("torch.nn.functional.conv3d", wrong)
    with pytest.raises(InputError, match="--precision fp32"):
        check_convolutions(CPU, print)
