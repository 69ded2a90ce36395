"""Frozen features of labeled files: those of all views, averaged.

Averaging the features of views is the same as averaging the answers of a linear probe on each.

Shape suffixes: N files, F features, B views, T frames, S pixels, C channels, M mel bands, L mel
frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from shards_spec.errors import InputError, ReelshardsError
from trainer.console import say
from trainer.models.inputs import audio_from_logmel, video_from_frames
from trainer.runs.evaluate import ClipEncoder
from trainer.runs.learning.device_inputs import autocast
from trainer.transfer.labeled_files import LabeledSet
from trainer.transfer.views import Windows, WindowStore, square_crops

#: Views that go through a tower together.
BATCH_VIEWS = 32

#: Files between two lines of progress.
_REPORT_EVERY = 500


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that is there and could not be used."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class FileFeatures:
    """Features of the files that could be read."""

    row: dict[int, int]
    """Of a file's row in its data set: the row of its features."""
    by_modality: dict[str, torch.Tensor]
    """(N, F) float32."""
    unreadable: list[Unreadable]


def extract(
    encoder: ClipEncoder, labeled: LabeledSet, store: WindowStore, num_crops: int
) -> FileFeatures:
    """Features of all files that are there. Files that cannot be read are named in the result.

    Raises `InputError` if the features of a file are NaN or infinite.
    """
    parts: dict[str, list[torch.Tensor]] = {"video": [], "audio": []}
    row: dict[int, int] = {}
    unreadable = []
    present = [(at, file) for at, file in enumerate(labeled.files) if file.path is not None]
    for count, (at, file) in enumerate(present, 1):
        assert file.path is not None
        try:
            windows = store.get(file.path)
        except InputError:
            raise
        except ReelshardsError as error:
            unreadable.append(Unreadable(name=file.name, reason=str(error)))
            continue
        found = mean_features(encoder, windows, num_crops)
        if not all(bool(values.isfinite().all()) for values in found.values()):
            raise InputError(f"the features of {file.name} are NaN or infinite: the run diverged")
        for modality, values in found.items():
            parts[modality].append(values)
        row[at] = len(row)
        if count % _REPORT_EVERY == 0:
            say(f"features of {count:,} of {len(present):,} files")
    stacked = {name: torch.stack(values) for name, values in parts.items() if values}
    if len(stacked) == 2:
        stacked["both"] = torch.cat((stacked["video"], stacked["audio"]), dim=1)
    return FileFeatures(row, stacked, unreadable)


@torch.inference_mode()
def mean_features(
    encoder: ClipEncoder, windows: Windows, num_crops: int
) -> dict[str, torch.Tensor]:
    """(F,) of each modality that the windows have, averaged over their views."""
    return {
        modality: all_features(encoder, modality, views).mean(dim=0).cpu()
        for modality, views in view_inputs(encoder, windows, num_crops).items()
    }


def all_features(encoder: ClipEncoder, modality: str, inputs: torch.Tensor) -> torch.Tensor:
    """As `tower_features`, for any number of views."""
    parts = torch.split(inputs, BATCH_VIEWS)
    return torch.cat([tower_features(encoder, modality, part) for part in parts])


def view_inputs(encoder: ClipEncoder, windows: Windows, num_crops: int) -> dict[str, torch.Tensor]:
    """All views of a file: video (B, T, S, S, 3) uint8, and audio (B, M, L) float16."""
    views = {}
    if windows.strips is not None:
        num_frames, size = encoder.recipe.num_frames, encoder.crop_pixels
        crops = [
            square_crops(windows.frames(num_frames, number), size, num_crops)
            for number in range(len(windows))
        ]
        views["video"] = torch.cat(crops)
    if windows.logmel is not None:
        views["audio"] = torch.from_numpy(windows.logmel)
    return views


def tower_features(encoder: ClipEncoder, modality: str, inputs: torch.Tensor) -> torch.Tensor:
    """(B, F) float32 of one tower, on the encoder's device."""
    inputs = inputs.to(encoder.device)
    with autocast(encoder.device, encoder.precision):
        if modality == "video":
            video_BCTHW = video_from_frames(inputs, encoder.model.config.inputs)
            return encoder.model.video_features(video_BCTHW).float()
        return encoder.model.audio_features(audio_from_logmel(inputs)).float()
