"""Reading an exported folder: the inverse of `export`, also for folders of version 0.2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from trainer.models import TwoTowers, build_model
from trainer.runs.config_file import config_from_json
from trainer.runs.evaluate.export.exported_files import (
    CONFIG_JSON,
    MODALITIES,
    MODEL,
    MODEL_TYPE,
    PREPROCESSOR_JSON,
)
from trainer.settings.model import InputConfig, ModelConfig, TransformerConfig

#: What version 0.2 wrote instead of `config.json` and `preprocessor_config.json`.
_FORMER_JSON = "preprocessing.json"


@dataclass(frozen=True)
class Exported:
    """The contents of an exported folder."""

    model: TwoTowers
    """On the CPU."""
    recipe: Recipe
    """How the clips were made that the encoders were trained on."""
    crop_pixels: int
    """Side of the square that is cut from the middle of each frame."""
    precision: str
    """Of the towers in training: `auto`, `fp32` or `bf16`."""


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `export`."""
    return any((folder / name).exists() for name in (PREPROCESSOR_JSON, _FORMER_JSON))


def read_export(folder: Path) -> Exported:
    """The encoders in an exported folder. Raises `InputError` when a file is not as written."""
    try:
        if not (folder / PREPROCESSOR_JSON).exists():
            return _former(folder)
        values = json.loads((folder / PREPROCESSOR_JSON).read_text())
        config = json.loads((folder / CONFIG_JSON).read_text())
        if config["model_type"] != MODEL_TYPE:
            raise ValueError(f"{CONFIG_JSON} has the model_type {config['model_type']!r}")
        where = str(folder / CONFIG_JSON)
        settings = config_from_json(ModelConfig, config["model"], where)
        model = build_model(settings, seed=0)
        model.load_state_dict(load_file(folder / MODEL))
        return _exported(model, values)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} is not a usable export: {error}; export the run again"
        ) from error


def _exported(model: TwoTowers, values: dict[str, Any]) -> Exported:
    return Exported(
        model=model,
        recipe=Recipe.from_json(values["recipe"]),
        crop_pixels=values["video"]["crop_pixels"],
        precision=values.get("precision", "auto"),
    )


def _former(folder: Path) -> Exported:
    """A folder of version 0.2: settings and weights by tower."""
    values = json.loads((folder / _FORMER_JSON).read_text())
    weights = {name: load_file(folder / f"{name}.safetensors") for name in MODALITIES}
    video, audio = values["video"], values["audio"]
    is_fixed = audio["norm"] == "fixed"
    config = ModelConfig(
        video=video["architecture"],
        audio=audio["architecture"],
        transformer=TransformerConfig(**values.get("transformer", {})),
        embedding_size=values["embedding"]["size"],
        head_hidden=len(weights["video"]["head.0.weight"]),
        inputs=InputConfig(
            frame_size=video["resize_pixels"],
            num_frames=len(video["frames_used"]),
            audio_norm=audio["norm"],
            **({"audio_mean": audio["mean"], "audio_std": audio["std"]} if is_fixed else {}),
        ),
    )
    model = build_model(config, seed=0)
    state = {"log_scale": torch.tensor(values["embedding"]["logit_scale"]).log()}
    for modality, tensors in weights.items():
        for name, tensor in tensors.items():
            tower, _, rest = name.partition(".")
            key = f"{modality}_head.{rest}" if tower == "head" else f"{modality}.{name}"
            state[key] = tensor
    model.load_state_dict(state)
    return _exported(model, values)
