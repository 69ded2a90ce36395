"""Transformer towers: sizes, positions, drop path; R3D-18 and R(2+1)D-34 by names and sizes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from shards_spec.errors import InputError
from trainer.config import OptimizerConfig
from trainer.models.r3d import R3d18
from trainer.models.transformer.towers import AudioTransformer, VideoTransformer, grid_sines
from trainer.models.two_towers import build_model
from trainer.models.video import R2Plus1d
from trainer.runs.learning.optimizer import build_optimizer, set_learning_rate
from trainer.settings.model import InputConfig, ModelConfig, TransformerConfig

TINY = TransformerConfig(width=24, depth=3, heads=2, patch=8, drop_path=0.5)
MODEL = ModelConfig(
    video="transformer",
    audio="transformer",
    transformer=TINY,
    embedding_size=8,
    head_hidden=16,
    inputs=InputConfig(frame_size=16, num_frames=4),
)


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 16, 16), (5, 17, 23)])
def test_a_video_transformer_takes_any_size(shape: tuple[int, int, int]) -> None:
    tower = VideoTransformer(TINY).eval()
    assert tower(torch.randn(2, 3, *shape)).shape == (2, 24)


@pytest.mark.parametrize("shape", [(16, 8), (40, 77), (3, 5)])
def test_an_audio_transformer_takes_any_size(shape: tuple[int, int]) -> None:
    assert AudioTransformer(TINY).eval()(torch.randn(2, 1, *shape)).shape == (2, 24)


def test_features_depend_on_the_order_of_frames_and_on_positions() -> None:
    torch.manual_seed(0)
    tower = VideoTransformer(TINY).eval()
    video = torch.randn(1, 3, 8, 16, 16)
    plain = tower(video)
    assert not torch.allclose(plain, tower(video.flip(2)), atol=1e-4)
    assert not torch.allclose(plain, tower(video.roll(8, dims=3)), atol=1e-4)
    coded = grid_sines(3, 4, torch.zeros(1, 24))
    assert len({tuple(row) for row in coded.tolist()}) == 12


def test_every_pixel_and_every_bin_matters() -> None:
    torch.manual_seed(0)
    video = torch.randn(1, 3, 5, 17, 16, requires_grad=True)
    VideoTransformer(TINY).eval()(video).square().sum().backward()
    assert video.grad is not None
    assert bool((video.grad != 0).all())
    audio = torch.randn(1, 1, 18, 9, requires_grad=True)
    AudioTransformer(TINY).eval()(audio).square().sum().backward()
    assert audio.grad is not None
    assert bool((audio.grad != 0).all())


def test_drop_path_depends_on_the_clip_and_on_nothing_else() -> None:
    torch.manual_seed(0)
    tower = VideoTransformer(TINY).train()
    video, key = torch.randn(6, 3, 4, 16, 16), torch.arange(6) * 7919
    whole = tower(video, key)
    assert torch.equal(whole, tower(video, key))
    parts = torch.cat([tower(video[rows], key[rows]) for rows in (slice(2), slice(2, None))])
    torch.testing.assert_close(parts, whole)
    assert not torch.allclose(whole, tower(video, key + 1))
    # Without keys, and in evaluation, nothing is dropped.
    torch.testing.assert_close(tower(video), tower.eval()(video, key))


def test_drop_path_leaves_the_mean_as_it_is() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, depth=2)
    tower = VideoTransformer(config).train()
    layer = tower.encoder.layers[1]
    x = torch.randn(1, 2, 4, 24).expand(400, -1, -1, -1)
    keep = torch.arange(400) % 2 == 0
    torch.testing.assert_close(layer(x, keep).mean(dim=0), layer(x[:1], None)[0])


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"width": 20, "heads": 3}, "model.transformer.width"),
        ({"depth": 0}, "model.transformer.depth"),
        ({"drop_path": 1.0}, "model.transformer.drop-path"),
        ({"drop_path": float("nan")}, "model.transformer.drop-path"),
        ({"patch": 0}, "model.transformer.patch"),
    ],
)
def test_impossible_sizes_are_rejected_by_flag(settings: dict[str, float], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        TransformerConfig(**settings)  # type: ignore[arg-type]


def test_earlier_layers_have_lower_rates() -> None:
    model = build_model(MODEL, 0)
    optimizer = build_optimizer(model, OptimizerConfig(layer_decay=0.5))
    set_learning_rate(optimizer, 1.0)
    names = {id(weight): name for name, weight in model.named_parameters()}
    rates = {
        names[id(weight)]: group["lr"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert len(rates) == len(names)
    for tower in ("video", "audio"):
        assert rates[f"{tower}.embed.weight"] == 0.5**4
        assert rates[f"{tower}.encoder.layers.0.mlp.0.weight"] == 0.5**3
        assert rates[f"{tower}.encoder.layers.2.norm1.bias"] == 0.5
        assert rates[f"{tower}.encoder.norm.weight"] == 1.0
        assert rates[f"{tower}_head.0.weight"] == 1.0
    assert rates["log_scale"] == 1.0


@pytest.mark.parametrize("video", ["small", "r2plus1d18", "r3d18"])
def test_layers_of_convolutions_are_known_too(video: str) -> None:
    with torch.device("meta"):
        model = build_model(ModelConfig(video=video), 0)  # type: ignore[arg-type]
    groups = build_optimizer(model, OptimizerConfig(layer_decay=0.5)).param_groups
    assert len({group["rate_scale"] for group in groups}) >= 5


def test_without_layer_decay_there_are_two_groups() -> None:
    groups = build_optimizer(build_model(MODEL, 0), OptimizerConfig()).param_groups
    assert [group["rate_scale"] for group in groups] == [1.0, 1.0]


def test_r3d_has_the_names_and_sizes_of_torchvision() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in R3d18().state_dict().items()}
    assert shapes["stem.0.weight"] == (64, 3, 3, 7, 7)
    assert shapes["layer1.1.conv2.0.weight"] == (64, 64, 3, 3, 3)
    assert shapes["layer2.0.conv1.0.weight"] == (128, 64, 3, 3, 3)
    assert shapes["layer4.0.downsample.0.weight"] == (512, 256, 1, 1, 1)
    assert shapes["layer4.1.conv1.1.running_var"] == (512,)
    # 33,371,472 of torchvision's network with its classifier of 400 classes.
    with torch.device("meta"):
        count = sum(weight.numel() for weight in R3d18().parameters())
    assert count + 512 * 400 + 400 == 33_371_472


def test_the_34_layer_network_has_the_published_middle_channels() -> None:
    with torch.device("meta"):
        tower = R2Plus1d(num_layers=34)
    shapes = {name: tuple(value.shape) for name, value in tower.state_dict().items()}
    assert [len(layer) for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4)] == [
        *(3, 4, 6, 3)
    ]
    assert shapes["layer2.0.conv1.0.0.weight"] == (230, 64, 1, 3, 3)
    assert shapes["layer2.0.conv2.0.0.weight"] == (288, 128, 1, 3, 3)
    assert shapes["layer4.0.conv2.0.0.weight"] == (1152, 512, 1, 3, 3)
    assert tower.layer3[5].conv2[1].eps == 1e-3


def test_r3d_computes_features() -> None:
    torch.manual_seed(0)
    features = R3d18().eval()(torch.randn(1, 3, 3, 20, 28))
    assert features.shape == (1, 512)
    assert bool(features.isfinite().all())
