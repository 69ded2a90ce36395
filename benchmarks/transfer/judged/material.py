"""A movie, sounds and pictures: inputs of encoders, and what the judges find in them.

Shape suffixes: N clips or files, W windows, T frames, S pixels, M mel bands, L mel frames,
K classes.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.films.tags import decoded
from benchmarks.transfer.judged.agreement import Layout
from benchmarks.transfer.judged.judges import Listener, Opinion, Viewer
from benchmarks.transfer.media import everyday, samples, write_picture
from pipeline.excerpts import read_excerpts
from pipeline.tags.sounds import RATE_HZ, sound_of_clip, sound_of_samples
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import AUDIO, LOGMEL, decode_strip, split_members
from shards_spec.schema.tables import clip_rows
from trainer.data.loader import StreamConfig
from trainer.data.stream import read_all
from trainer.transfer.views import square_crops

#: Of the frames that are judged: shorter side, pixels.
JUDGED_SIDE = 256

BLOCK_SECONDS, BLOCK_FILES = 60, 8

NUM_WINDOWS = 10


@dataclass(frozen=True, eq=False)
class Material:
    """Clips of a movie, or files."""

    name: str
    layout: Layout
    inputs: dict[str, torch.Tensor]
    """By modality: frames (W, T, S, S, 3) uint8, or log-mel (W, M, L) float16."""
    owner: dict[str, torch.Tensor]
    """By modality: (W,) int64, the number of the clip or file that a window is of."""
    logits: dict[str, NDArray[np.float64]]
    """Of what is `seen` or `heard`: (N, K)."""
    tags: dict[str, NDArray[np.bool_]]
    """Of the same: (N, K)."""

    def __len__(self) -> int:
        return len(self.layout.block)


def movie(path: Path, work: Path, recipe: Recipe, crop: int) -> Material:
    """All clips of a movie, which is preprocessed into `work` unless that was done before."""
    seen = _preprocessed(path, work / "seen", dataclasses.replace(recipe, short_side=JUDGED_SIDE))
    heard = _preprocessed(path, work / "heard", dataclasses.replace(recipe, store_audio=True))
    assert seen.clips["clip_id"].equals(heard.clips["clip_id"])
    frames, logmel, order = [], [], []
    for batch in read_all(heard, range(len(heard.clips)), StreamConfig(frame_size=crop)):
        frames.append(batch.frames)
        logmel.append(batch.logmel)
        order.append(batch.clip)
    number_N = torch.cat(order)
    seconds = heard.clips["start_ns"].to_numpy() / NANOSECONDS
    viewer, listener = Viewer(), Listener()
    views = [viewer.judge(clip) for clip in _frames_of(seen)]
    sounds = [
        listener.judge(sound_of_clip({AUDIO: members[AUDIO], LOGMEL: members[LOGMEL]}, recipe))
        for members in _members_of(heard)
    ]
    return Material(
        name="movie",
        layout=Layout((seconds // BLOCK_SECONDS).astype(np.int64), seconds),
        inputs={"video": torch.cat(frames), "audio": torch.cat(logmel)},
        owner={"video": number_N, "audio": number_N},
        **_opinions(seen=views, heard=sounds),
    )


def sounds(media: Path, recipe: Recipe) -> Material:
    """Sounds of three packages."""
    chosen = [path for _, path in (*everyday(media), *samples(media))]
    files = sorted((*chosen, *(voice for _, voice in _pictures(media))))
    listener, heard, logmels, kept = Listener(), [], [], 0
    owner: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            wave = decoded(path)
            if not len(wave):
                print(f"{path} cannot be decoded", file=sys.stderr)
                continue
            # The same seconds for judge and encoders.
            short = Path(folder) / "sound.wav"
            soundfile.write(short, wave, RATE_HZ, subtype="FLOAT")
            found = read_excerpts(short, recipe, NUM_WINDOWS, video=False, audio=True)
            assert found.logmel is not None
            logmels.append(torch.from_numpy(found.logmel))
            owner += [kept] * len(found.logmel)
            heard.append(listener.judge(sound_of_samples(wave, RATE_HZ)))
            kept += 1
    return Material(
        name="sounds",
        layout=_of_files(kept),
        inputs={"audio": torch.cat(logmels)},
        owner={"audio": torch.tensor(owner)},
        **_opinions(heard=heard),
    )


def pictures(media: Path, recipe: Recipe, crop: int) -> Material:
    """Pictures of tuxpaint that have a voice, enlarged slowly."""
    viewer, seen, frames = Viewer(), [], []
    owner: list[int] = []
    found = _pictures(media)
    with tempfile.TemporaryDirectory() as folder:
        for number, (picture, voice) in enumerate(found):
            short = Path(folder) / "picture.mp4"
            write_picture(picture, voice, short)
            small = _strips(short, recipe)
            frames += [square_crops(clip, crop, 1) for clip in small]
            owner += [number] * len(small)
            large = dataclasses.replace(recipe, short_side=JUDGED_SIDE)
            seen.append(viewer.judge(torch.cat(_strips(short, large)).numpy()))
    return Material(
        name="pictures",
        layout=_of_files(len(found)),
        inputs={"video": torch.cat(frames)},
        owner={"video": torch.tensor(owner)},
        **_opinions(seen=seen),
    )


def _preprocessed(path: Path, out: Path, recipe: Recipe) -> Dataset:
    if not (out / "dataset.json").exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        options = [
            *("--num-frames", recipe.num_frames, "--fps", recipe.fps),
            *("--short-side", recipe.short_side, "--n-mels", recipe.n_mels),
            *("--hop-ms", recipe.hop_ms, "--window-ms", recipe.window_ms),
            *(["--store-audio"] if recipe.store_audio else []),
        ]
        command = [sys.executable, "-m", "pipeline", "preprocess", path.parent, "--out", out]
        subprocess.run([str(word) for word in (*command, *options)], check=True)
    return open_dataset(str(out))


def _members_of(dataset: Dataset) -> Iterator[dict[str, memoryview]]:
    for row in clip_rows(dataset.clips):
        data = dataset.storage.get_range(row.shard, row.tar_offset, row.tar_bytes)
        yield split_members(data)[row.clip_id]


def _frames_of(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    for members in _members_of(dataset):
        yield decode_strip(members["frames.jpg"], dataset.recipe.num_frames)


def _strips(path: Path, recipe: Recipe) -> list[torch.Tensor]:
    found = read_excerpts(path, recipe, NUM_WINDOWS, video=True, audio=False)
    assert found.strips is not None
    return [torch.from_numpy(decode_strip(one, recipe.num_frames).copy()) for one in found.strips]


def _pictures(media: Path) -> list[tuple[Path, Path]]:
    """Pictures and their voices."""
    stamps = sorted((media / "usr/share/tuxpaint/stamps").rglob("*.ogg"))
    voices = [path for path in stamps if "_desc" not in path.name]
    return [(v.with_suffix(".png"), v) for v in voices if v.with_suffix(".png").exists()]


def _of_files(count: int) -> Layout:
    numbers = np.arange(count)
    return Layout(numbers // BLOCK_FILES, numbers * 1e9)


def _opinions(**judged: Sequence[Opinion]) -> dict[str, Any]:
    """The fields of `Material` that the judges fill, by what is `seen` or `heard`."""
    return {
        "logits": {name: np.stack([one.logits for one in of]) for name, of in judged.items()},
        "tags": {name: np.stack([one.tags for one in of]) for name, of in judged.items()},
    }


def most_common(tags_NK: NDArray[np.bool_], names: Sequence[str], count: int) -> Iterable[str]:
    """Names of tags with their numbers, most common first."""
    totals = tags_NK.sum(axis=0)
    for number in np.argsort(-totals, kind="stable")[:count]:
        yield f"{names[number]} {totals[number]}"
