"""Exported encoders, in the layout of models on the Hugging Face hub.

    config.json               the networks' settings
    model.safetensors         all weights, under the names of `TwoTowers`
    preprocessor_config.json  how a movie becomes the encoders' input, as numbers
    README.md                 the model card: data, batches, results
    video.safetensors         one tower and its head each, for use without our code
    audio.safetensors
    video.onnx, audio.onnx    optional, see `onnx_files`

No training code is needed to load a tower: parameter names are those of tower and head. For
R(2+1)D-18 the tower's names are torchvision's, so its weights load there once those under `head.`
are removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from trainer.models import TwoTowers
from trainer.models.inputs import describe_inputs
from trainer.runs.atomic_files import atomic_file, write_text
from trainer.runs.bucket import local_copy
from trainer.runs.config_file import config_to_json
from trainer.runs.evaluate.export.model_card import model_card
from trainer.runs.evaluate.export.onnx_files import write_onnx
from trainer.runs.evaluate.result import Evaluation
from trainer.runs.folder import TrainedRun, load_run

MODALITIES = ("video", "audio")
CONFIG_JSON = "config.json"
MODEL = "model.safetensors"
PREPROCESSOR_JSON = "preprocessor_config.json"
CARD = "README.md"

#: `model_type` in `config.json`, by which an exported folder is recognized.
MODEL_TYPE = "reelshards"


def export(
    run: str | Path,
    out: Path,
    *,
    evaluation: Evaluation | None = None,
    onnx: bool = False,
    best: bool = False,
    average: bool = False,
) -> list[Path]:
    """Write the newest weights of a run into the folder `out`; returns the paths.

    Args:
        evaluation: what the model card reports; by default the retrieval on held-out movies that
            training has logged last.
        onnx: also write each tower as ONNX, and compare its output with ours.
        best: the weights whose evaluation during training was best instead of the newest.
        average: the moving average of the weights, for runs with `ema_decay`.

    Raises `InputError` if the run cannot be used or its weights are NaN or infinite.
    """
    with local_copy(run) as folder:
        trained = load_run(folder, best=best, average=average)
        card = model_card(trained, folder, evaluation)
    weights = {f"{name}.safetensors": encoder_weights(trained.model, name) for name in MODALITIES}
    weights[MODEL] = _on_host(trained.model.state_dict())
    for name, tensors in weights.items():
        with atomic_file(out / name) as file:
            # Other libraries refuse weights that do not name their framework.
            file.write(save(tensors, metadata={"format": "pt"}))
    texts = {
        PREPROCESSOR_JSON: json.dumps(preprocessing(trained), indent=2) + "\n",
        CARD: card,
        CONFIG_JSON: json.dumps(_config(trained), indent=2) + "\n",
    }
    for name, text in texts.items():
        write_text(out / name, text)
    paths = [out / name for name in (*weights, *texts)]
    return [*paths, *(write_onnx(trained, out) if onnx else [])]


def encoder_weights(model: TwoTowers, modality: str) -> dict[str, torch.Tensor]:
    """A tower's weights under their own names, and its head's under `head.`."""
    tower, head = getattr(model, modality), getattr(model, f"{modality}_head")
    return _on_host(
        {**tower.state_dict(), **{f"head.{k}": v for k, v in head.state_dict().items()}}
    )


def preprocessing(trained: TrainedRun) -> dict[str, Any]:
    """How a movie becomes the encoders' input, as numbers."""
    config, recipe = trained.config, trained.description["dataset"]["recipe"]
    inputs = describe_inputs(
        config.model, stored_frames=recipe["num_frames"], crop_pixels=config.stream.frame_size
    )
    return {
        "recipe": recipe,
        "precision": config.precision,
        **inputs,
        "embedding": {
            "size": config.model.embedding_size,
            "norm": "unit length",
            "logit_scale": float(trained.model.log_scale.detach().exp()),
        },
    }


def _config(trained: TrainedRun) -> dict[str, Any]:
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["TwoTowers"],
        "library_version": trained.description["versions"]["reelshards"],
        "steps": trained.steps_done,
        "model": config_to_json(trained.config.model),
    }


def _on_host(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.cpu().contiguous() for name, value in tensors.items()}
