"""The model card of an export: YAML for the hub, then a page for readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.runs.evaluate.result import Evaluation
from trainer.runs.folder import TrainedRun
from trainer.runs.journal import read_metrics

#: Names of the figures in the card, by metric name without its direction.
_FIGURES = {
    "within_movie_r1": "R@1 within movie",
    "within_movie_r5": "R@5 within movie",
    "global_r1": "R@1 among all clips",
    "global_r5": "R@5 among all clips",
}
_DIRECTIONS = {"v2a": "video to audio", "a2v": "audio to video"}


def model_card(trained: TrainedRun, run: Path, evaluation: Evaluation | None) -> str:
    """The card, with the figures of `evaluation` or, without one, those that training logged."""
    figures = _figures(trained, run, evaluation)
    return f"---\n{_header(trained, figures)}---\n\n{_page(trained, figures)}"


def _figures(
    trained: TrainedRun, run: Path, evaluation: Evaluation | None
) -> list[tuple[str, float, float]]:
    """(name, value, chance) of each figure."""
    if evaluation is None:
        lines = [
            line
            for line in read_metrics(run)
            if line["step"] <= trained.steps_done and any(key.startswith("eval/") for key in line)
        ]
        values: dict[str, Any] = lines[-1] if lines else {}
    else:
        values = dict(evaluation.retrieval.metrics())
    figures = []
    for key, name in _FIGURES.items():
        for short, direction in _DIRECTIONS.items():
            metric = f"eval/{short}_{key}"
            if metric in values and f"{metric}_chance" in values:
                figure = f"{name}, {direction}"
                figures.append((figure, float(values[metric]), float(values[f"{metric}_chance"])))
    for modality, probe in (evaluation.class_probe if evaluation else {}).items():
        name = f"class probe on {modality} features ({probe.num_classes} classes)"
        figures.append((name, probe.accuracy, probe.chance))
    return figures


def _header(trained: TrainedRun, figures: list[tuple[str, float, float]]) -> str:
    # JSON strings are YAML strings too, whatever characters are in them.
    name = json.dumps(f"reelshards {trained.config.model.video}")
    lines = ["library_name: reelshards", "pipeline_tag: feature-extraction", "tags:"]
    lines += [f"- {tag}" for tag in ("audio-visual", "contrastive-learning", "video", "audio")]
    if not figures:
        return "\n".join(lines) + "\n"
    fingerprint = trained.description["dataset"]["fingerprint"]
    lines += ["model-index:", f"- name: {name}", "  results:", "  - task:"]
    lines += ["      type: feature-extraction", "    dataset:"]
    lines += [f"      type: {json.dumps(str(fingerprint))}", "      name: held-out movies"]
    lines += ["    metrics:"]
    for figure, value, chance in figures:
        lines += [f"    - name: {json.dumps(f'{figure} (chance {chance:.4f})')}"]
        lines += ["      type: recall" if "R@" in figure else "      type: accuracy"]
        lines += [f"      value: {value:.4f}"]
    return "\n".join(lines) + "\n"


def _page(trained: TrainedRun, figures: list[tuple[str, float, float]]) -> str:
    config, policy = trained.config, trained.config.policy
    versions = trained.description["versions"]
    recipe = trained.description["dataset"]["recipe"]
    seconds = recipe["num_frames"] / recipe["fps"]
    return f"""# Audio-visual encoders

Two encoders whose embeddings agree when video and audio belong to the same clip, trained
contrastively with reelshards {versions["reelshards"]} (torch {versions["torch"]}).

```python
import reelshards as rs

encoder = rs.load("this folder")
table = encoder.embed_movie("movie.mp4")  # start_ns, end_ns, video, audio
```

| | video | audio |
|-|-|-|
| network | {config.model.video} | {config.model.audio} |
| input | {recipe["num_frames"]} frames at {recipe["fps"]:g} fps, {seconds:g} s | \
{recipe["n_mels"]} mel bands at {recipe["sample_rate_hz"]} Hz, {seconds:g} s |
| embedding | {config.model.embedding_size} numbers, unit length | the same |
| alone | `video.safetensors` | `audio.safetensors` |

- **Batches**: {policy.movies_per_batch} movies x {policy.clips_per_movie} clips; \
{policy.rho:.3f} of the negatives were within-movie, with weight {config.loss.within_weight:g}.
- **Training**: {trained.steps_done} of {config.steps} steps, seed {config.seed}, \
dataset fingerprint `{trained.description["dataset"]["fingerprint"]}`.
- **Input**: exactly as in `preprocessor_config.json`; any other input gives different embeddings.
- **A tower alone**: `safetensors.torch.load_file`; names under `head.` are the projection
  head, the others the tower. Linear probes use the tower's features, retrieval the projections.

## Results

{_table(figures)}

The settings are this project's own; no result of any publication is claimed. The encoders reflect
the movies they were trained on, including their biases and gaps: evaluate before use
(`reelshards evaluate`).
"""


def _table(figures: list[tuple[str, float, float]]) -> str:
    if not figures:
        return "This run was not evaluated."
    rows = [f"| {name} | {value:.3f} | {chance:.3f} |" for name, value, chance in figures]
    return "\n".join(("| on held-out movies | value | chance |", "|-|-|-|", *rows))
