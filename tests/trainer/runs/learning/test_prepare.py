"""Preparing a model for training: compiled where that works."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from trainer.config.recipes import small
from trainer.models import build_model
from trainer.runs.learning.prepare import wrapped


def test_training_continues_uncompiled_if_compiling_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compiled(model: Any) -> Any:
        def call(*arguments: Any, **settings: Any) -> Any:
            calls.append(model)
            raise RuntimeError("no compiler\nat all")

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    config = dataclasses.replace(small(), compile=True)
    said: list[str] = []
    model = build_model(config.model, 0).eval()
    forward = wrapped(model, config, 1, said.append)
    clips = torch.rand(1, 3, 8, 64, 64), torch.randn(1, 1, 80, 320)
    for _ in range(2):
        torch.testing.assert_close(forward(*clips).video, model(*clips).video)
    assert len(calls) == 1, "it is not tried again"
    (line,) = said
    assert line.startswith("torch.compile failed (RuntimeError: no compiler); training continues")


def test_without_compile_the_model_is_called_directly() -> None:
    model = build_model(small().model, 0)
    assert wrapped(model, small(), 1, print) is model
