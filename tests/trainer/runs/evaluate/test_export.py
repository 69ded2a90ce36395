"""Export: the files load without our training code and state what they need."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.models import build_model
from trainer.models.small_video import SmallVideoNet
from trainer.runs.evaluate import load_encoder
from trainer.runs.evaluate.evaluation import evaluate
from trainer.runs.evaluate.export.exported_files import export
from trainer.runs.evaluate.export.onnx_files import write_onnx
from trainer.runs.folder import load_run
from trainer.settings.model import ModelConfig

FILES = {
    *("config.json", "model.safetensors", "preprocessor_config.json", "README.md"),
    *("video.safetensors", "audio.safetensors"),
}


@pytest.fixture(scope="module")
def folder(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    paths = export(trained_run, out)
    assert sorted(paths) == sorted(out.iterdir())
    return out


def test_the_layout_is_that_of_the_hub(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["steps"]) == ("reelshards", 80)
    assert config["model"]["embedding_size"] == 16
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_all_weights_are_those_of_the_run(folder: Path, trained_run: Path) -> None:
    weights, own = load_file(folder / "model.safetensors"), load_run(trained_run).model.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[name], own[name]) for name in own)


def test_exported_tower_returns_the_runs_features(folder: Path, trained_run: Path) -> None:
    model = load_run(trained_run).model
    weights = load_file(folder / "video.safetensors")
    head = {name for name in weights if name.startswith("head.")}
    assert head == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}
    tower = SmallVideoNet()
    tower.load_state_dict({name: value for name, value in weights.items() if name not in head})
    video = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(tower.eval()(video), model.video(video))


def test_preprocessing_is_complete(folder: Path) -> None:
    values = json.loads((folder / "preprocessor_config.json").read_text())
    assert values["recipe"]["num_frames"] == 4
    assert values["video"]["frames_used"] == [0, 1, 2, 3]
    assert values["video"]["resize_pixels"] == 32
    assert values["audio"]["norm"] == "clip"
    assert values["embedding"]["size"] == 16


def header_and_page(folder: Path) -> tuple[dict[str, object], str]:
    _, header, page = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header), page


def test_the_card_has_what_training_logged_last(folder: Path, trained_run: Path) -> None:
    header, page = header_and_page(folder)
    assert header["library_name"] == "reelshards"
    lines = [json.loads(line) for line in (trained_run / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "eval/v2a_within_movie_r1" in line][-1]
    (entry,) = header["model-index"]  # type: ignore[misc]
    metrics = entry["results"][0]["metrics"]
    assert metrics[0]["name"].startswith("R@1 within movie, video to audio (chance 0.0625)")
    assert metrics[0]["value"] == pytest.approx(logged["eval/v2a_within_movie_r1"], abs=1e-4)
    assert "4 movies x 4 clips" in page
    assert "80 of 80 steps" in page
    assert f"| {logged['eval/a2v_global_r5']:.3f} |" in page


def test_the_card_has_an_evaluations_figures(
    trained_run: Path, toy_data: Dataset, tmp_path: Path
) -> None:
    evaluation = evaluate(toy_data.storage.uri, trained_run, label_column="shot_id")
    export(trained_run, tmp_path, evaluation=evaluation)
    header, page = header_and_page(tmp_path)
    (entry,) = header["model-index"]  # type: ignore[misc]
    names = [metric["name"] for metric in entry["results"][0]["metrics"]]
    assert [name for name in names if name.startswith("class probe on audio features (")]
    assert f"{evaluation.class_probe['video'].accuracy:.3f}" in page


def test_a_run_without_an_evaluation_has_no_figures(trained_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / "metrics.jsonl").unlink()
    export(run, tmp_path / "out")
    header, page = header_and_page(tmp_path / "out")
    assert "model-index" not in header
    assert "This run was not evaluated." in page


def test_folders_of_version_0_2_still_load(folder: Path, tmp_path: Path) -> None:
    former = tmp_path / "former"
    shutil.copytree(folder, former)
    (former / "preprocessor_config.json").rename(former / "preprocessing.json")
    for name in ("config.json", "model.safetensors"):
        (former / name).unlink()
    ours, theirs = (load_encoder(path).model.state_dict() for path in (folder, former))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{}", "model_type"),
        ("config.json", b'{"model_type": "bert"}', "model_type 'bert'"),
        ("model.safetensors", b"nothing", "is not a usable export"),
        ("preprocessor_config.json", b"[", "is not a usable export"),
        ("preprocessor_config.json", b"{}", "recipe"),
    ],
)
def test_a_damaged_folder_is_rejected(
    folder: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_encoder(damaged)


def test_export_rejects_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        export(tmp_path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(("video", "audio"), [("small", "small"), ("r2plus1d18", "resnet18")])
def test_onnx_towers_compute_the_runs_embeddings(
    trained_run: Path, tmp_path: Path, video: str, audio: str
) -> None:
    pytest.importorskip("onnx", reason="needs reelshards[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="needs reelshards[onnx]")
    trained = load_run(trained_run)
    model = dataclasses.replace(trained.config.model, video=video, audio=audio)
    config = dataclasses.replace(trained.config, model=model)
    trained = dataclasses.replace(trained, config=config, model=build_model(model, seed=3).eval())
    assert [path.name for path in write_onnx(trained, tmp_path)] == ["video.onnx", "audio.onnx"]
    recipe = trained.recipe
    inputs = {
        "video": torch.rand(5, 3, 4, 32, 32),
        "audio": torch.randn(5, 1, recipe.n_mels, recipe.num_mel_frames),
    }
    with torch.no_grad():
        expected = trained.model(inputs["video"], inputs["audio"])
    for name, sample in inputs.items():
        session = runtime.InferenceSession(tmp_path / f"{name}.onnx")
        (computed,) = session.run(None, {name: sample.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(computed), getattr(expected, name), atol=1e-4, rtol=0
        )


def test_onnx_without_its_packages_names_the_extra(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'reelshards\[onnx\]'"):
        export(trained_run, tmp_path, onnx=True)


def test_settings_of_the_networks_are_all_kept(trained_run: Path, tmp_path: Path) -> None:
    export(trained_run, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())["model"]
    assert values.keys() == {item.name for item in dataclasses.fields(ModelConfig)}
