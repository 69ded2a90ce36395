"""The GPU benchmark in its small form, so that it keeps working on machines without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


@pytest.mark.slow
def test_every_part_runs_and_is_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "gpu.md"
    words = ["--tiny", "--steps", "3", "--folder", str(tmp_path / "clips"), "--out", str(out)]
    assert gpu.main(words) == 0
    figures = json.loads(out.with_suffix(".json").read_text())
    assert figures["failed"] == {}
    assert figures["left_out"] == []
    names = [row["name"] for row in figures["steps"]]
    assert names == ["as it runs, widths x16", "3D convolutions, bf16 autocast"]
    assert all(row["clips_per_s"] > 0 for row in [*figures["steps"], *figures["memory"]])
    assert figures["expected_gib"]["norms, 2 parts"] > 0
    assert {row["processes"] for row in figures["loader"]} >= {0, 4, 8, 12}
    assert figures["training"]["throughput/clips_per_second"] > 0
    page = out.read_text()
    for name in [*names, "norms, 2 parts", "data/wait_fraction", "Loading alone"]:
        assert name in page


def test_what_does_not_fit_in_time_is_named(tmp_path: Path) -> None:
    report = gpu.Report(tmp_path / "gpu.md", 10.0, "command")
    report.part("quick", lambda: 1)
    report.part("long", lambda: 2, seconds=60.0)
    report.part("broken", lambda: 1 / 0)
    assert report.figures["quick"] == 1
    assert report.figures["left_out"] == ["long"]
    assert "ZeroDivisionError" in report.figures["failed"]["broken"]
    assert "long" in (tmp_path / "gpu.md").read_text()


def test_a_missing_gpu_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err
