"""Non-semantic consistency: how well a movie is identified by what has nothing to do with content.

A linear probe on the identities, trained on the first half of each movie and evaluated on its
second half. Where it succeeds, look and score suffice to tell a clip from those of other movies,
and a model that has only such negatives needs to learn nothing else.
"""

from __future__ import annotations

import torch

from shards_spec.dataset.reader import Dataset
from trainer.analyse.descriptors import Description
from trainer.runs.scoring.clip_probes import movie_probes
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.probes import ProbeResult

#: Movies of the probe, taken evenly: its cost grows with the square of their number.
MAX_MOVIES = 100


def consistency(dataset: Dataset, description: Description) -> dict[str, ProbeResult]:
    """The probe by modality; empty with fewer than two movies of at least two clips."""
    clips = description.clips
    movies = torch.tensor(sorted(set(clips.movie.tolist())))
    num_chosen = min(MAX_MOVIES, len(movies))
    chosen = movies[torch.arange(num_chosen) * len(movies) // num_chosen]
    keep = torch.isin(clips.movie, chosen)
    part = EmbeddedClips(
        *(clips.video[keep], clips.audio[keep]),
        *(clips.video_features[keep], clips.audio_features[keep]),
        *(clips.clip[keep], clips.movie[keep]),
    )
    return {name: probe.result for name, probe in movie_probes(dataset, part).items()}
