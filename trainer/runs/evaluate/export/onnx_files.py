"""Each tower with its head as an ONNX file, compared with the original before it is kept."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from shards_spec.errors import InputError
from trainer.models import TwoTowers
from trainer.models.inputs import normalize_audio, normalize_video
from trainer.runs.atomic_files import atomic_file
from trainer.runs.folder import TrainedRun
from trainer.settings.model import InputConfig

#: Largest difference of an embedding's numbers from the original's.
TOLERANCE = 1e-4


class VideoEncoder(nn.Module):
    """(B, 3, T, H, W) float32 in [0, 1] -> (B, D) float32, unit length."""

    def __init__(self, model: TwoTowers) -> None:
        super().__init__()
        self.tower, self.head = model.video, model.video_head

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """Normalizes, then tower and head."""
        features: torch.Tensor = self.head(self.tower(normalize_video(video_BCTHW)))
        return functional.normalize(features, dim=1)


class AudioEncoder(nn.Module):
    """(B, 1, M, L) float32 log-mel, nats -> (B, D) float32, unit length."""

    def __init__(self, model: TwoTowers, inputs: InputConfig) -> None:
        super().__init__()
        self.tower, self.head, self.inputs = model.audio, model.audio_head, inputs

    def forward(self, audio_BCML: torch.Tensor) -> torch.Tensor:
        """Normalizes, then tower and head."""
        features: torch.Tensor = self.head(self.tower(normalize_audio(audio_BCML, self.inputs)))
        return functional.normalize(features, dim=1)


def write_onnx(trained: TrainedRun, out: Path) -> list[Path]:
    """Write `video.onnx` and `audio.onnx`; returns their paths.

    Raises `InputError` when the packages are missing, or a file computes something else.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package)
    model, inputs = trained.model.cpu().eval(), trained.config.model.inputs
    recipe = trained.recipe
    size = inputs.frame_size or trained.config.stream.frame_size
    num_frames = min(inputs.num_frames, recipe.num_frames) or recipe.num_frames
    towers: list[tuple[str, nn.Module, tuple[int, ...]]] = [
        ("video", VideoEncoder(model), (2, 3, num_frames, size, size)),
        ("audio", AudioEncoder(model, inputs), (2, 1, recipe.n_mels, recipe.num_mel_frames)),
    ]
    paths = []
    for name, encoder, shape in towers:
        content = _converted(name, with_fixed_pools(encoder), torch.rand(shape))
        _compare(name, content, encoder, torch.rand(3, *shape[1:]))
        with atomic_file(out / f"{name}.onnx") as file:
            file.write(content)
        paths.append(out / f"{name}.onnx")
    return paths


class FixedPool(nn.Module):
    """Adaptive average pooling over the last axes, written as means of slices."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each output averages the same inputs as `nn.AdaptiveAvgPool3d` does."""
        for axis, size in enumerate(self.sizes, start=-len(self.sizes)):
            length = x.shape[axis]
            cells = [
                x.narrow(axis, first, -(-(cell + 1) * length // size) - first).mean(axis)
                for cell in range(size)
                for first in [cell * length // size]
            ]
            # Averaging one axis after the other weighs all inputs of a cell equally.
            x = torch.stack(cells, dim=axis)
        return x


def with_fixed_pools(encoder: nn.Module) -> nn.Module:
    """A copy without adaptive pooling, which ONNX does not have."""
    copied = copy.deepcopy(encoder)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
                num_axes = 2 if isinstance(child, nn.AdaptiveAvgPool2d) else 3
                size: Any = child.output_size
                sizes = (size,) * num_axes if isinstance(size, int) else tuple(size)
                setattr(module, name, FixedPool(sizes))
    return copied


def _converted(name: str, encoder: nn.Module, example: torch.Tensor) -> bytes:
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The exporter warns about its own future, and about packages that it does not need.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program: Any = torch.onnx.export(
                encoder,
                (example,),
                input_names=[name],
                output_names=["embedding"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        except RuntimeError as error:
            reason = str(error.__cause__ or error).partition("\n")[0]
            raise InputError(f"--onnx: the {name} tower cannot be converted: {reason}") from error
    content: bytes = program.model_proto.SerializeToString()
    return content


def _compare(name: str, content: bytes, encoder: nn.Module, sample: torch.Tensor) -> None:
    """Raise `InputError` unless the file computes what the encoder does, for another batch size."""
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (computed,) = session.run(None, {name: sample.numpy()})
    with torch.no_grad():
        expected = encoder(sample).numpy()
    difference = float(abs(computed - expected).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{name}.onnx computes embeddings that differ by {difference:.2g} from the model's, "
            f"more than {TOLERANCE:g}; it is not written: use {name}.safetensors"
        )


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"--onnx needs {package}, which is not installed: pip install 'reelshards[onnx]'"
        ) from error
