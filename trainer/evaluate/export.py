"""Encoders for others: weights as safetensors, what to feed them, and a card about them.

None of the training code is needed to load them: names are those of tower and head, and for
R(2+1)D-18 the tower's are torchvision's, so they load there once those under `head.` are set aside.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from trainer.models import (
    LOGMEL_FLOOR,
    MIN_LOGMEL_STD,
    VIDEO_MEAN,
    VIDEO_STD,
    TwoTowers,
    frame_choice,
)
from trainer.run import TrainedRun, atomic_file, load_run, write_text

MODALITIES = ("video", "audio")
PREPROCESSING_JSON = "preprocessing.json"
CARD = "README.md"


def export(run: Path, out: Path) -> list[Path]:
    """Write the newest weights of a run into the folder `out`; returns the files."""
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
    """What stands between a movie and the encoders, in numbers."""
    config, inputs = trained.config, trained.config.model.inputs
    recipe = trained.description["dataset"]["recipe"]
    is_fixed = inputs.audio_norm == "fixed"
    return {
        "recipe": recipe,
        "video": {
            "architecture": config.model.video,
            "layout": "batch, RGB, frames, height, width",
            "crop_pixels": config.stream.frame_size,
            "resize_pixels": inputs.frame_size or config.stream.frame_size,
            "frames_used": frame_choice(recipe["num_frames"], inputs.num_frames),
            "range_before_norm": [0.0, 1.0],
            "mean": list(VIDEO_MEAN),
            "std": list(VIDEO_STD),
        },
        "audio": {
            "architecture": config.model.audio,
            "layout": "batch, 1, mel bands, mel frames",
            "unit_before_norm": "natural log of mel power",
            "floor": LOGMEL_FLOOR,
            "norm": inputs.audio_norm,
            "mean": inputs.audio_mean if is_fixed else f"of each {inputs.audio_norm}",
            "std": inputs.audio_std if is_fixed else f"of each clip, at least {MIN_LOGMEL_STD}",
        },
        "embedding": {
            "size": config.model.embedding_size,
            "norm": "unit length",
            "logit_scale": float(trained.model.log_scale.detach().exp()),
        },
    }


def model_card(trained: TrainedRun) -> str:
    """A short page for whoever finds the weights."""
    config, policy = trained.config, trained.config.policy
    versions = trained.description["versions"]
    recipe = trained.description["dataset"]["recipe"]
    seconds = recipe["num_frames"] / recipe["fps"]
    return f"""# Audio-visual encoders

Two encoders whose embeddings agree when a moment's picture and sound belong together, trained by
contrast with reelshards {versions["reelshards"]} (torch {versions["torch"]}).

| | video | audio |
|-|-|-|
| file | `video.safetensors` | `audio.safetensors` |
| network | {config.model.video} | {config.model.audio} |
| input | {recipe["num_frames"]} frames at {recipe["fps"]:g} fps, {seconds:g} s | \
{recipe["n_mels"]} mel bands at {recipe["sample_rate_hz"]} Hz, {seconds:g} s |
| embedding | {config.model.embedding_size} numbers, unit length | the same |

- **Batches**: {policy.movies_per_batch} movies x {policy.clips_per_movie} clips; \
{policy.rho:.3f} of the negatives were of the same movie, with weight {config.loss.within_weight:g}.
- **Training**: {trained.steps_done} of {config.steps} steps, seed {config.seed}, \
dataset fingerprint `{trained.description["dataset"]["fingerprint"]}`.
- **Input**: exactly as in `{PREPROCESSING_JSON}`; anything else gives other embeddings.
- **Loading**: `safetensors.torch.load_file`; names under `head.` are the projection, the others the
  tower. Linear probes read the tower's features, retrieval the projection's.

The settings are this project's own; no figure of any publication is claimed. What these encoders
know was learnt from the movies they saw, with whatever these show and leave out: measure before use
(`python -m trainer evaluate`).
"""
