"""Exported encoders: weights as safetensors, a description of their input, and a model card.

No training code is needed to load them: parameter names are those of tower and head. For R(2+1)D-18
the tower's names are torchvision's, so its weights load there once those under `head.` are removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from trainer.models import TwoTowers, describe_inputs
from trainer.run import TrainedRun, atomic_file, load_run, write_text

MODALITIES = ("video", "audio")
PREPROCESSING_JSON = "preprocessing.json"
CARD = "README.md"


def export(run: Path, out: Path) -> list[Path]:
    """Write the newest weights of a run into the folder `out`; returns the paths.

    Raises `InputError` if the run cannot be used or its weights are NaN or infinite.
    """
    trained = load_run(run)
    weights = [out / f"{modality}.safetensors" for modality in MODALITIES]
    for path, modality in zip(weights, MODALITIES, strict=True):
        with atomic_file(path) as file:
            file.write(save(encoder_weights(trained.model, modality)))
    write_text(out / PREPROCESSING_JSON, json.dumps(preprocessing(trained), indent=2) + "\n")
    write_text(out / CARD, model_card(trained))
    return [*weights, out / PREPROCESSING_JSON, out / CARD]


def encoder_weights(model: TwoTowers, modality: str) -> dict[str, torch.Tensor]:
    """A tower's weights under their own names, and its head's under `head.`."""
    tower, head = getattr(model, modality), getattr(model, f"{modality}_head")
    named = {**tower.state_dict(), **{f"head.{k}": v for k, v in head.state_dict().items()}}
    return {name: value.cpu().contiguous() for name, value in named.items()}


def preprocessing(trained: TrainedRun) -> dict[str, Any]:
    """How a movie becomes the encoders' input, as numbers."""
    config, recipe = trained.config, trained.description["dataset"]["recipe"]
    inputs = describe_inputs(
        config.model, stored_frames=recipe["num_frames"], crop_pixels=config.stream.frame_size
    )
    return {
        "recipe": recipe,
        **inputs,
        "embedding": {
            "size": config.model.embedding_size,
            "norm": "unit length",
            "logit_scale": float(trained.model.log_scale.detach().exp()),
        },
    }


def model_card(trained: TrainedRun) -> str:
    """A short description for readers who find only the weights."""
    config, policy = trained.config, trained.config.policy
    versions = trained.description["versions"]
    recipe = trained.description["dataset"]["recipe"]
    seconds = recipe["num_frames"] / recipe["fps"]
    return f"""# Audio-visual encoders

Two encoders whose embeddings agree when video and audio belong to the same clip, trained
contrastively with reelshards {versions["reelshards"]} (torch {versions["torch"]}).

| | video | audio |
|-|-|-|
| file | `video.safetensors` | `audio.safetensors` |
| network | {config.model.video} | {config.model.audio} |
| input | {recipe["num_frames"]} frames at {recipe["fps"]:g} fps, {seconds:g} s | \
{recipe["n_mels"]} mel bands at {recipe["sample_rate_hz"]} Hz, {seconds:g} s |
| embedding | {config.model.embedding_size} numbers, unit length | the same |

- **Batches**: {policy.movies_per_batch} movies x {policy.clips_per_movie} clips; \
{policy.rho:.3f} of the negatives were within-movie, with weight {config.loss.within_weight:g}.
- **Training**: {trained.steps_done} of {config.steps} steps, seed {config.seed}, \
dataset fingerprint `{trained.description["dataset"]["fingerprint"]}`.
- **Input**: exactly as in `{PREPROCESSING_JSON}`; any other input gives different embeddings.
- **Loading**: `safetensors.torch.load_file`; names under `head.` are the projection
  head, the others the tower. Linear probes use the tower's features, retrieval the projections.

The settings are this project's own; no result of any publication is claimed. The encoders reflect
the movies they were trained on, including their biases and gaps: evaluate before use
(`python -m trainer evaluate`).
"""
