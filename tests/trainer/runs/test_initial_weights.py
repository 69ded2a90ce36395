"""`--init-from`: published files, exported folders and runs; frozen towers, locked statistics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.models import build_model, load_tower
from trainer.models.audio import AudioResNet18
from trainer.models.r3d import R3d18
from trainer.runs.checkpoints.checkpoint import checkpoint_files, newest_checkpoint
from trainer.runs.evaluate import export, load_encoder
from trainer.runs.folder import load_run
from trainer.runs.initial_weights import initialize, read_weights
from trainer.settings import LossConfig
from trainer.train import train


def starting(config: TrainConfig, source: Path, **changes: object) -> TrainConfig:
    return dataclasses.replace(config, init_from=str(source), **changes)  # type: ignore[arg-type]


def state(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = newest_checkpoint(run)
    assert checkpoint is not None
    return checkpoint.model


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    export(trained_run, out)
    return out


def test_a_run_and_its_export_give_its_weights(
    trained_run: Path, exported: Path, tiny_config: TrainConfig
) -> None:
    expected = load_run(trained_run).model.state_dict()
    for source in (trained_run, exported):
        model = build_model(tiny_config.model, seed=5)
        line = initialize(model, starting(tiny_config, source))
        assert "video tower, video head, audio tower, audio head" in line
        found = model.state_dict()
        differing = [name for name in expected if not torch.equal(found[name], expected[name])]
        # An export has no logit scale among its weights.
        assert differing == ([] if source == trained_run else ["log_scale"])


def test_one_exported_file_gives_one_tower_with_its_head(
    exported: Path, tiny_config: TrainConfig
) -> None:
    for modality in ("video", "audio"):
        model = build_model(tiny_config.model, seed=5)
        line = initialize(model, starting(tiny_config, exported / f"{modality}.safetensors"))
        assert line.startswith(f"initial weights of {modality} tower, {modality} head from")


def test_a_checkpoint_file_gives_all_weights(trained_run: Path, tiny_config: TrainConfig) -> None:
    model = build_model(tiny_config.model, seed=5)
    initialize(model, starting(tiny_config, checkpoint_files(trained_run)[-1]))
    expected = load_run(trained_run).model.state_dict()
    assert all(torch.equal(v, expected[name]) for name, v in model.state_dict().items())


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_one_tower_can_be_chosen(
    modality: str, trained_run: Path, tiny_config: TrainConfig
) -> None:
    model, fresh = (build_model(tiny_config.model, seed=5) for _ in range(2))
    initialize(model, starting(tiny_config, trained_run, init_towers=modality))
    for name, value in model.state_dict().items():
        is_loaded = name.startswith((f"{modality}.", f"{modality}_head."))
        if value.ndim >= 2:
            assert torch.equal(value, fresh.state_dict()[name]) != is_loaded, name


def test_heads_of_other_sizes_start_at_random(trained_run: Path, tiny_config: TrainConfig) -> None:
    wider = dataclasses.replace(tiny_config.model, embedding_size=24)
    model = build_model(wider, seed=5)
    config = starting(tiny_config, trained_run, model=wider)
    assert "head" not in initialize(model, config)
    expected = load_run(trained_run).model.video.state_dict()
    assert all(torch.equal(value, expected[n]) for n, value in model.video.state_dict().items())


@pytest.mark.parametrize("nested", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_file_of_torchvision_is_recognized(
    nested: bool, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    published = R3d18().state_dict() | {
        "fc.weight": torch.zeros(400, 512),
        "fc.bias": torch.zeros(400),
    }
    file = tmp_path / "r3d_18.pth"
    torch.save(
        {"state_dict": {f"module.{n}": v for n, v in published.items()}} if nested else published,
        file,
    )
    model_config = dataclasses.replace(tiny_config.model, video="r3d18")
    model = build_model(model_config, seed=5)
    assert initialize(model, starting(tiny_config, file, model=model_config)).startswith(
        "initial weights of video tower from"
    )
    assert all(torch.equal(v, published[n]) for n, v in model.video.state_dict().items())


def test_the_first_convolution_of_an_image_network_reads_spectrograms() -> None:
    tower = AudioResNet18()
    images = tower.state_dict() | {"conv1.weight": torch.randn(64, 3, 7, 7)}
    load_tower(tower, images, "resnet18.pth")
    torch.testing.assert_close(tower.conv1.weight, images["conv1.weight"].sum(1, keepdim=True))


def test_unusable_sources_are_refused(
    trained_run: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    model = build_model(tiny_config.model, seed=5)
    text, empty, poisoned = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    text.write_text("hello")
    torch.save([1, 2], empty)
    weights = dict(model.state_dict())
    weights["video.project.weight"] = weights["video.project.weight"] * float("nan")
    torch.save(weights, poisoned)
    for source, message in (
        (tmp_path / "none", "is not a file with weights, an exported folder or a run"),
        (tmp_path, "is not a file with weights, an exported folder or a run"),
        (text, "is not a file with weights"),
        (empty, "does not contain named weights"),
        (poisoned, "project.weight is NaN or infinite"),
    ):
        with pytest.raises(InputError, match=message):
            initialize(model, starting(tiny_config, source))
    other = dataclasses.replace(tiny_config.model, video="r3d18")
    with pytest.raises(InputError, match=r"not of a R3d18.*--model\.video"):
        initialize(build_model(other, 0), starting(tiny_config, trained_run, model=other))
    video = tmp_path / "video.pth"
    torch.save(R3d18().state_dict(), video)
    assert set(read_weights(video).towers) == {"video"}
    with pytest.raises(InputError, match="no weights of a network for audio"):
        initialize(model, starting(tiny_config, video, init_towers="audio"))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"freeze": "video"}, "freeze = video"),
        ({"lock_batch_norm": True}, "lock-batch-norm"),
        ({"init_towers": "audio"}, "init-towers"),
        ({"init_from": "x", "init_towers": "audio", "freeze": "video"}, "freeze = video"),
        ({"init_from": "x", "init_towers": "audio", "freeze": "both"}, "freeze = both"),
    ],
)
def test_settings_without_loaded_weights_are_rejected(
    changes: dict[str, object], flag: str, tiny_config: TrainConfig
) -> None:
    with pytest.raises(InputError, match=flag):
        dataclasses.replace(tiny_config, **changes)  # type: ignore[arg-type]


def test_a_frozen_tower_stays_and_the_run_resumes(
    trained_run: Path, toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = starting(
        tiny_config, trained_run, freeze="video", lock_batch_norm=True, steps=4, accumulate=2
    )
    uri, before = toy_data.storage.uri, state(trained_run)
    train(uri, tmp_path / "straight", config)
    train(uri, tmp_path / "resumed", dataclasses.replace(config, stop_at_step=2))
    train(uri, tmp_path / "resumed", config)
    found, resumed = state(tmp_path / "straight"), state(tmp_path / "resumed")
    for name, value in found.items():
        assert torch.equal(value, resumed[name]), name
        is_statistic = "running" in name or "num_batches" in name
        stays = name.startswith("video.") or is_statistic
        assert torch.equal(value, before[name]) == stays, name


@pytest.mark.slow
def test_transformers_train_and_resume(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    from tests.trainer.models.test_transformer import MODEL

    config = dataclasses.replace(
        tiny_config,
        model=MODEL,
        steps=4,
        accumulate=2,
        loss=LossConfig(within_modal=0.5),
        optimizer=dataclasses.replace(tiny_config.optimizer, layer_decay=0.8),
    )
    uri = toy_data.storage.uri
    train(uri, tmp_path / "straight", config)
    train(uri, tmp_path / "resumed", dataclasses.replace(config, stop_at_step=2))
    train(uri, tmp_path / "resumed", config)
    found, resumed = state(tmp_path / "straight"), state(tmp_path / "resumed")
    assert all(torch.equal(value, resumed[name]) for name, value in found.items())
    export(tmp_path / "straight", tmp_path / "out")
    exported = load_encoder(tmp_path / "out").model.state_dict()
    assert all(torch.allclose(value, exported[name]) for name, value in found.items())
