"""What an analysis knows of each clip: plain statistics, or the features of a run.

Two descriptors per modality. The *identity* is what may reveal the movie: mean and spread of its
colors, its mean spectrum. The *content* is what may show that two clips show the same thing: a
thumbnail and its movement, the spectrum and its changes; what all clips of a movie share is taken
out of it. Of a run, the features serve as both.

Shape suffixes: N clips, F numbers of a descriptor, B clips of a batch, C channels, T frames, H x W
pixels, M mel bands, L mel frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.models import Embeddings, Features
from trainer.ranks.world import default_device
from trainer.runs.evaluate import whole_movies
from trainer.runs.folder import TrainedRun
from trainer.runs.scoring.embeddings import EmbeddedClips, embed_clips
from trainer.settings.model import InputConfig, ModelConfig

MODALITIES = ("video", "audio")

#: At most this many clips, of whole movies, are described.
MAX_CLIPS = 20_000

#: Side of a thumbnail.
THUMBNAIL = 6

#: Standard deviation of a normal distribution over its median absolute deviation.
MEDIAN_TO_STD = 1.4826

#: Deviations within movies that are smaller than this share of the corpus's spread are noise.
LEAST_SPREAD = 0.1

#: Numbers that vary less than this are left out.
MIN_STD = 1e-6


@dataclass(frozen=True, eq=False)
class Description:
    """The clips of an analysis, described in one way."""

    name: str
    """`statistics` or `features`."""
    clips: EmbeddedClips
    """Their identities are its features, and their contents its embeddings."""
    start_s: torch.Tensor
    """(N,) float64, start on the movie timeline, seconds."""

    def content(self, modality: str) -> torch.Tensor:
        """(N, F) float32: without what all clips of the movie share; see `within_movie`."""
        raw_NF = self.clips.video if modality == "video" else self.clips.audio
        return within_movie(raw_NF, self.clips.movie)


class ClipSignatures(nn.Module):
    """Plain statistics in the place of towers and heads."""

    def features(self, video_BCTHW: torch.Tensor, audio_BCML: torch.Tensor) -> Features:
        """The identities, followed by the contents; see the module."""
        video, audio = video_BCTHW.float(), audio_BCML.float()[:, 0]
        colors = [video.mean(dim=(2, 3, 4)), video.std(dim=(2, 3, 4), correction=0)]
        size = (THUMBNAIL, THUMBNAIL)
        frames_BCTS = functional.adaptive_avg_pool3d(video, (video.shape[2], *size)).flatten(3)
        thumbnail = frames_BCTS.mean(dim=2).flatten(1)
        movement = frames_BCTS.diff(dim=2).abs().mean(dim=(1, 2)) if video.shape[2] > 1 else None
        parts = [*colors, thumbnail] if movement is None else [*colors, thumbnail, movement]
        changes = audio.std(dim=2, correction=0)
        return Features(torch.cat(parts, dim=1), torch.cat((audio.mean(dim=2), changes), dim=1))

    def embed(self, features: Features) -> Embeddings:
        """The contents alone; not comparable between modalities, and not of unit length."""
        return Embeddings(features.video[:, 6:], features.audio, features.video.new_ones(()))


def describe_plainly(dataset: Dataset, max_clips: int = MAX_CLIPS) -> Description:
    """Describe clips of whole movies by statistics."""
    size = min(dataset.recipe.short_side, 64)
    config = TrainConfig(
        policy=BatchPolicy(movies_per_batch=1, clips_per_movie=2),
        stream=StreamConfig(frame_size=dataset.recipe.short_side),
        model=ModelConfig(inputs=InputConfig(frame_size=size, num_frames=0)),
        precision="fp32",
    )
    rows = whole_movies(ClipIndex.from_dataset(dataset, config.policy), max_clips)
    towers: Any = ClipSignatures()
    clips = embed_clips(towers, dataset, rows, config, default_device())
    identity = clips.video_features[:, :6], clips.audio_features[:, : dataset.recipe.n_mels]
    clips = EmbeddedClips(clips.video, clips.audio, *identity, clips.clip, clips.movie)
    return Description("statistics", clips, _starts(dataset, clips))


def describe_by_run(dataset: Dataset, trained: TrainedRun, plain: Description) -> Description:
    """Describe the same clips by the features of a run's towers."""
    device = default_device()
    model = trained.model.to(device)
    found = embed_clips(model, dataset, plain.clips.clip.numpy(), trained.config, device)
    features = found.video_features, found.audio_features
    clips = EmbeddedClips(*features, *features, found.clip, found.movie)
    return Description("features", clips, _starts(dataset, clips))


def within_movie(raw_NF: torch.Tensor, movie_N: torch.Tensor) -> torch.Tensor:
    """Deviations from the mean of the clip's movie, scaled so that the squared distance of two
    unrelated clips of a movie is about 1.

    Each number is scaled by its typical deviation within movies (from the median, which loud and
    bright exceptions do not change), but by at least `LEAST_SPREAD` of its spread over the corpus:
    in movies that show one thing only, what is left within them is noise.
    """
    raw_NF = raw_NF.double()
    number_N: torch.Tensor = torch.unique(movie_N, return_inverse=True)[1]
    num_movies = int(number_N.max()) + 1
    sums = raw_NF.new_zeros(num_movies, raw_NF.shape[1]).index_add_(0, number_N, raw_NF)
    means = sums / torch.bincount(number_N, minlength=num_movies)[:, None]
    deviation_NF = raw_NF - means[number_N]
    typical_F = deviation_NF.abs().median(dim=0).values * MEDIAN_TO_STD
    scale_F = typical_F.maximum(LEAST_SPREAD * raw_NF.std(dim=0, correction=0))
    is_used_F = scale_F > MIN_STD
    scaled_NF = deviation_NF[:, is_used_F] / scale_F[is_used_F]
    unrelated = math.sqrt(max(1, 2 * scaled_NF.shape[1]))
    return (scaled_NF / unrelated).float()


def _starts(dataset: Dataset, clips: EmbeddedClips) -> torch.Tensor:
    start_ns = np.array(dataset.clips["start_ns"].to_numpy())[clips.clip.numpy()]
    return torch.from_numpy(start_ns / 1e9)
