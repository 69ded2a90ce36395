"""The weights that a new run starts from, with `--init-from`: a published file, an exported folder,
or another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.models import TwoTowers, load_tower
from trainer.runs.config_file import saved_config
from trainer.runs.folder import load_run

Weights = Mapping[str, torch.Tensor]
Modality = Literal["video", "audio"]
MODALITIES: tuple[Modality, ...] = ("video", "audio")

#: Keys under which files commonly nest the weights.
_NESTED = ("model", "state_dict", "model_state_dict")


@dataclass(frozen=True)
class InitialWeights:
    """What a source contains, by modality."""

    towers: dict[Modality, Weights]
    heads: dict[Modality, Weights]
    """Only our own files have heads."""
    log_scale: torch.Tensor | None
    """() float32."""


def initialize(model: TwoTowers, config: TrainConfig) -> str:
    """Load `config.init_from` into the towers that `config.init_towers` names.

    Heads are loaded too where the source has heads of the same sizes. Returns a line for the user.

    Raises `InputError` if the source cannot be read or its networks are not those of the model.
    """
    source = config.init_from
    weights = read_weights(Path(source))
    chosen = MODALITIES if config.init_towers == "both" else (config.init_towers,)
    loaded = []
    for modality in chosen:
        if modality not in weights.towers:
            if config.init_towers == "both" and weights.towers:
                continue
            raise InputError(f"--init-from {source} has no weights of a network for {modality}")
        load_tower(getattr(model, modality), weights.towers[modality], source)
        loaded.append(f"{modality} tower")
        if _load_head(getattr(model, f"{modality}_head"), weights.heads.get(modality)):
            loaded.append(f"{modality} head")
    if weights.log_scale is not None and len(loaded) == 2 * len(MODALITIES):
        with torch.no_grad():
            model.log_scale.copy_(weights.log_scale)
    return f"initial weights of {', '.join(loaded)} from {source}"


def read_weights(path: Path) -> InitialWeights:
    """The weights of a run folder, an exported folder, or a file.

    Raises `InputError` if there are none.
    """
    files = {modality: path / f"{modality}.safetensors" for modality in MODALITIES}
    if any(file.exists() for file in files.values()):
        named = {modality: _read_file(file) for modality, file in files.items() if file.exists()}
        return InitialWeights(
            {modality: _without(values, "head.") for modality, values in named.items()},
            {modality: _below(values, "head.") for modality, values in named.items()},
            None,
        )
    if saved_config(path) is not None:
        return _ours(load_run(path).model.state_dict())
    if not path.is_file():
        raise InputError(
            f"--init-from {path} is not a file with weights, an exported folder or a run folder"
        )
    weights = _read_file(path)
    if any(name.startswith("video.") for name in weights):
        return _ours(weights)
    modality = _modality(path, weights)
    heads = _below(weights, "head.")
    return InitialWeights(
        {modality: _without(weights, "head.")}, {modality: heads} if heads else {}, None
    )


def _modality(path: Path, weights: Weights) -> Modality:
    """What a file with one network is for: by its name, as exported, or by its convolutions."""
    for modality in MODALITIES:
        if path.stem == modality:
            return modality
    # Only networks for video have convolutions over time.
    return "video" if any(weight.ndim == 5 for weight in weights.values()) else "audio"


def _ours(weights: Weights) -> InitialWeights:
    """The state of one of our models, by part."""
    return InitialWeights(
        {modality: _below(weights, f"{modality}.") for modality in MODALITIES},
        {modality: _below(weights, f"{modality}_head.") for modality in MODALITIES},
        weights.get("log_scale"),
    )


def _read_file(path: Path) -> Weights:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise InputError(f"--init-from {path} cannot be read ({error})") from error
    except Exception as error:  # torch.load has no common base class for damaged files
        reason = str(error).partition("\n")[0]
        raise InputError(f"--init-from {path} is not a file with weights ({reason})") from error
    for key in _NESTED:
        if isinstance(values, Mapping) and isinstance(values.get(key), Mapping):
            values = values[key]
    if not isinstance(values, Mapping) or not values:
        raise InputError(f"--init-from {path} does not contain named weights")
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }
    if len(tensors) < len(values):
        raise InputError(f"--init-from {path} does not contain named weights alone")
    return tensors


def _load_head(head: torch.nn.Module, weights: Weights | None) -> bool:
    """Load a head if the weights fit; returns whether they do."""
    own = head.state_dict()
    if not weights or {n: w.shape for n, w in weights.items()} != {
        n: w.shape for n, w in own.items()
    }:
        return False
    head.load_state_dict(weights)
    return True


def _below(weights: Weights, prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _without(weights: Weights, prefix: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith(prefix)}
