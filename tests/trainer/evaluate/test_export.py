"""Export: the files load without our training code and state what they need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shards_spec.errors import InputError
from trainer.evaluate.exported_files import export
from trainer.models.small_video import SmallVideoNet
from trainer.run.folder import load_run


def test_export_writes_encoders_preprocessing_and_card(trained_run: Path, tmp_path: Path) -> None:
    paths = export(trained_run, tmp_path / "out")
    assert [path.name for path in paths] == [
        "video.safetensors",
        "audio.safetensors",
        "preprocessing.json",
        "README.md",
    ]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())


def test_exported_tower_returns_the_runs_features(trained_run: Path, tmp_path: Path) -> None:
    model = load_run(trained_run).model
    weights = load_file(export(trained_run, tmp_path)[0])
    head = {name for name in weights if name.startswith("head.")}
    assert head == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}
    tower = SmallVideoNet()
    tower.load_state_dict({name: value for name, value in weights.items() if name not in head})
    video = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(tower.eval()(video), model.video(video))


def test_preprocessing_is_complete(trained_run: Path, tmp_path: Path) -> None:
    values = json.loads(export(trained_run, tmp_path)[2].read_text())
    assert values["recipe"]["num_frames"] == 4
    assert values["video"]["frames_used"] == [0, 1, 2, 3]
    assert values["video"]["resize_pixels"] == 32
    assert values["audio"]["norm"] == "clip"
    assert values["embedding"]["size"] == 16


def test_card_names_batches_steps_and_data(trained_run: Path, tmp_path: Path) -> None:
    card = export(trained_run, tmp_path)[3].read_text()
    assert "4 movies x 4 clips" in card
    assert "80 of 80 steps" in card


def test_export_rejects_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        export(tmp_path, tmp_path / "out")
