"""Towers and heads: names and sizes that published weights rely on, inputs, embeddings."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from shards_spec.errors import InputError
from trainer.models.audio import AudioResNet18, SmallAudioNet
from trainer.models.inputs import (
    audio_from_logmel,
    frame_choice,
    normalize_audio,
    normalize_video,
    video_from_frames,
)
from trainer.models.small_video import SmallVideoNet
from trainer.models.two_towers import INITIAL_SCALE, MAX_SCALE, TwoTowers, build_model
from trainer.models.video import R2Plus1d
from trainer.settings.model import InputConfig, ModelConfig


def torchvision_r2plus1d_18_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's r2plus1d_18 without `fc`, derived from its definition."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def two_plus_one(name: str, num_in: int, num_mid: int, num_out: int) -> None:
        shapes[f"{name}.0.weight"] = (num_mid, num_in, 1, 3, 3)
        norm(f"{name}.1", num_mid)
        shapes[f"{name}.3.weight"] = (num_out, num_mid, 3, 1, 1)

    shapes["stem.0.weight"] = (45, 3, 1, 7, 7)
    norm("stem.1", 45)
    shapes["stem.3.weight"] = (64, 45, 3, 1, 1)
    norm("stem.4", 64)
    # (layer, block): channels in, between, out. The middle ones are torchvision's integers.
    blocks = {
        (1, 0): (64, 144, 64),
        (1, 1): (64, 144, 64),
        (2, 0): (64, 230, 128),
        (2, 1): (128, 288, 128),
        (3, 0): (128, 460, 256),
        (3, 1): (256, 576, 256),
        (4, 0): (256, 921, 512),
        (4, 1): (512, 1152, 512),
    }
    for (layer, block), (num_in, num_mid, num_out) in blocks.items():
        name = f"layer{layer}.{block}"
        two_plus_one(f"{name}.conv1.0", num_in, num_mid, num_out)
        norm(f"{name}.conv1.1", num_out)
        two_plus_one(f"{name}.conv2.0", num_out, num_mid, num_out)
        norm(f"{name}.conv2.1", num_out)
        if layer > 1 and block == 0:
            shapes[f"{name}.downsample.0.weight"] = (num_out, num_in, 1, 1, 1)
            norm(f"{name}.downsample.1", num_out)
    return shapes


def test_r2plus1d18_has_torchvisions_names_and_shapes() -> None:
    found = {name: tuple(value.shape) for name, value in R2Plus1d().state_dict().items()}
    assert found == torchvision_r2plus1d_18_shapes()


def test_r2plus1d18_has_torchvisions_size() -> None:
    # torchvision states 31,505,325 with its classifier of 400 classes, which is 512 * 400 + 400.
    count = sum(weight.numel() for weight in R2Plus1d().parameters())
    assert count == 31_505_325 - (512 * 400 + 400) == 31_300_125


def test_audio_resnet18_has_the_usual_size() -> None:
    # ResNet-18 has 11,689,512 with three input channels and 1000 classes.
    count = sum(weight.numel() for weight in AudioResNet18().parameters())
    assert count == 11_689_512 - (512 * 1000 + 1000) - 2 * 64 * 7 * 7


@pytest.mark.parametrize("num_frames", [4, 8])
@pytest.mark.parametrize("net", [R2Plus1d, SmallVideoNet])
def test_video_towers_return_vectors(net: type[R2Plus1d | SmallVideoNet], num_frames: int) -> None:
    tower = net().eval()
    with torch.no_grad():
        features_BF = tower(torch.randn(2, 3, num_frames, 32, 32))
    assert features_BF.shape == (2, tower.num_features)


@pytest.mark.parametrize("net", [AudioResNet18, SmallAudioNet])
def test_audio_towers_return_vectors(net: type[AudioResNet18 | SmallAudioNet]) -> None:
    tower = net().eval()
    with torch.no_grad():
        assert tower(torch.randn(2, 1, 40, 64)).shape == (2, tower.num_features)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_group_norm_sees_one_clip_at_a_time(norm: Literal["batch", "group"]) -> None:
    model = build_model(ModelConfig(small_norm=norm), seed=3).train()
    video, audio = torch.rand(4, 3, 4, 32, 32), torch.randn(4, 1, 40, 64)
    with torch.no_grad():
        whole = model.features(video, audio)
        # Other clips in the batch: only batch statistics change what the first two become.
        pair = model.features(video[:2], audio[:2])
    is_independent = norm == "group"
    for one, other in ((whole.video, pair.video), (whole.audio, pair.audio)):
        assert torch.allclose(one[:2], other, atol=1e-5) == is_independent
    names = {type(part).__name__ for part in model.modules() if "Norm" in type(part).__name__}
    assert names == ({"GroupNorm"} if is_independent else {"BatchNorm2d", "BatchNorm3d"})


def test_group_norm_starts_from_the_same_weights() -> None:
    batch = dict(build_model(ModelConfig(), seed=3).named_parameters())
    group = dict(build_model(ModelConfig(small_norm="group"), seed=3).named_parameters())
    assert batch.keys() == group.keys()
    assert all(torch.equal(batch[name], group[name]) for name in batch)


def test_group_norm_needs_a_small_tower() -> None:
    with pytest.raises(InputError, match=r"model\.small-norm = group: acts on small towers"):
        ModelConfig(video="r2plus1d18", audio="resnet18", small_norm="group")


def test_embeddings_are_unit_vectors_and_start_at_the_stated_scale() -> None:
    model = build_model(ModelConfig(embedding_size=16), seed=0).eval()
    with torch.no_grad():
        out = model(torch.rand(3, 3, 4, 32, 32), torch.randn(3, 1, 16, 64))
    torch.testing.assert_close(out.video.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(out.audio.norm(dim=1), torch.ones(3))
    assert float(out.scale) == pytest.approx(INITIAL_SCALE)


def test_scale_is_limited() -> None:
    model = build_model(ModelConfig(), seed=0)
    with torch.no_grad():
        model.log_scale.fill_(9.0)
    model.limit_scale()
    assert float(model.log_scale.detach().exp()) == pytest.approx(MAX_SCALE)


def test_initial_weights_depend_only_on_the_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([w.flatten() for w in build_model(ModelConfig(), seed).parameters()])

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, weights(0))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, weights(1))


@pytest.mark.parametrize(
    ("num_stored", "num_wanted", "chosen"),
    [
        (4, 0, [0, 1, 2, 3]),
        (8, 4, [0, 2, 4, 6]),
        (4, 9, [0, 1, 2, 3]),
        (5, 2, [0, 2]),
        (3, 1, [0]),
    ],
)
def test_frame_choice(num_stored: int, num_wanted: int, chosen: list[int]) -> None:
    assert frame_choice(num_stored, num_wanted) == chosen


def test_video_from_frames_keeps_positions_and_range() -> None:
    frames_BTHWC = torch.zeros(2, 4, 8, 8, 3, dtype=torch.uint8)
    frames_BTHWC[1, 2, :4, 4:, 0] = 255
    video = video_from_frames(frames_BTHWC, InputConfig(frame_size=4, num_frames=2))
    assert video.shape == (2, 3, 2, 4, 4)
    # Of four frames the first and the third are used; the red corner lies in the third.
    assert float(video[1, 0, 1, 0, 3]) == 1.0
    assert float(video[0].abs().sum() + video[1, :, 0].sum() + video[1, 1:].sum()) == 0.0


def test_video_from_frames_without_resizing_is_exact() -> None:
    frames_BTHWC = torch.randint(0, 256, (2, 3, 6, 6, 3), dtype=torch.uint8)
    video = video_from_frames(frames_BTHWC, InputConfig(frame_size=0, num_frames=0))
    assert torch.equal((video * 255).round().byte().permute(0, 2, 3, 4, 1), frames_BTHWC)


def test_normalized_video_of_the_mean_color_is_zero() -> None:
    mean = torch.tensor([0.43216, 0.394666, 0.37645]).view(1, 3, 1, 1, 1)
    assert float(normalize_video(mean.expand(1, 3, 2, 4, 4)).abs().max()) < 1e-6


def test_audio_norms() -> None:
    logmel = torch.tensor([[[0.0, 4.0], [8.0, 12.0]]]).half()
    audio = audio_from_logmel(logmel)
    by_clip = normalize_audio(audio, InputConfig(audio_norm="clip"))
    assert float(by_clip.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(by_clip.std(correction=0)) == pytest.approx(1.0)
    by_band = normalize_audio(audio, InputConfig(audio_norm="band"))
    assert by_band.mean(dim=3).abs().max() < 1e-6
    fixed = normalize_audio(audio, InputConfig(audio_norm="fixed", audio_mean=4.0, audio_std=2.0))
    assert fixed.flatten().tolist() == [-2.0, 0.0, 2.0, 4.0]


def test_silence_is_floored_and_stays_finite() -> None:
    audio = audio_from_logmel(torch.full((1, 2, 3), -torch.inf).half())
    assert float(audio.max()) == -23.0
    assert torch.equal(normalize_audio(audio, InputConfig()), torch.zeros(1, 1, 2, 3))


@pytest.mark.gpu
def test_model_on_a_gpu_agrees_with_the_cpu() -> None:
    model: TwoTowers = build_model(ModelConfig(embedding_size=16), seed=0).eval()
    frames = torch.randint(0, 256, (2, 4, 64, 64, 3), dtype=torch.uint8)
    audio = torch.randn(2, 1, 16, 64)
    config = InputConfig(frame_size=32)
    with torch.no_grad():
        host = model(video_from_frames(frames, config), audio)
        device = model.cuda()(video_from_frames(frames.cuda(), config), audio.cuda())
    # The GPU resizes floats, the CPU bytes.
    torch.testing.assert_close(device.video.cpu(), host.video, atol=0.02, rtol=0)
    torch.testing.assert_close(device.audio.cpu(), host.audio, atol=5e-3, rtol=0)
