"""HEAR's own tools accept the module. They need TensorFlow, so they are in no extra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

# TensorFlow takes seconds to import, with warnings.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_validator_accepts_the_module(
    trained_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    validate = pytest.importorskip("hearvalidator.validate", reason="needs hearvalidator")
    validate.ValidateModel("reelshards.board.hear", str(trained_run), device="cpu")()
    assert "Interval between timestamps is 50.0ms" in capfd.readouterr().out


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_the_evaluation_kit_computes_embeddings(
    trained_run: Path, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    kit = pytest.importorskip("heareval.embeddings.task_embeddings", reason="needs heareval")
    write_task(tmp_path / "task", kind)
    embedding = kit.Embedding("reelshards.board.hear", str(trained_run))
    kit.task_embeddings(embedding, tmp_path / "task", tmp_path / "out")
    found = np.load(tmp_path / "out/test/a.wav.embedding.npy")
    size = embedding.model.scene_embedding_size
    assert found.shape == ((size,) if kind == "scene" else (21, size))
    if kind == "event":
        times = json.loads((tmp_path / "out/test/a.wav.timestamps.json").read_text())
        assert times == [50.0 * number for number in range(21)]
        # The event lasts from 0.2 to 0.5 s.
        labels = json.loads((tmp_path / "out/test/a.wav.target-labels.json").read_text())
        assert [at for at, found in enumerate(labels) if found] == list(range(4, 11))


def write_task(folder: Path, kind: str) -> None:
    """A task in the layout of hearpreprocess: one file of 1 s in each split."""
    labels = ["tone"] if kind == "scene" else [{"label": "tone", "start": 200.0, "end": 500.0}]
    for split in ("train", "valid", "test"):
        audio = folder / "16000" / split
        audio.mkdir(parents=True)
        soundfile.write(audio / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
        (folder / f"{split}.json").write_text(json.dumps({"a.wav": labels}))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,tone\n")
    settings = {
        "splits": ["train", "valid", "test"],
        "embedding_type": kind,
        "prediction_type": "multiclass" if kind == "scene" else "multilabel",
        "sample_duration": 1.0,
    }
    (folder / "task_metadata.json").write_text(json.dumps(settings))
