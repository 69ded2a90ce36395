"""How often `label --tags` is right about sounds whose kind is known.

    apt-get download scratch=1.4.0.6~dfsg1-6.1 sonic-pi-samples=3.2.2~repack-8 \\
      tuxpaint-stamps-default=2022.06.04-1
    for package in *.deb; do dpkg -x $package media/; done
    python -m benchmarks.films.tags media > benchmarks/results/tags.md

Each sound is heard twice: as samples, as from a stored FLAC, and as log-mel of the default recipe.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.features import log_mel
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.tags import cells_of
from pipeline.tags.judge import Judge, load_judge
from pipeline.tags.sounds import Sound, sound_of_logmel, sound_of_samples
from shards_spec.recipe import Recipe

#: Sounds of one kind at most, and seconds of each.
MAX_SOUNDS, MAX_SECONDS = 300, 10.0
#: Sounds shorter than half a patch are skipped: they would test nothing.
MIN_SECONDS = 0.5

SILENCE_DBFS = -50.0

#: Levels of music below speech in mixtures, dB.
MIXTURES_DB = (0, 10, 20)

LABELS = ("speech", "music", "other", "silence")

RECIPE = Recipe()

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """Sounds whose labels are known."""

    name: str
    expected: tuple[str, ...]
    sounds: Sequence[Samples]


def kinds(media: Path) -> Iterator[Kind]:
    """All kinds of sounds."""
    scratch = media / "usr/share/scratch/Media/Sounds"
    stamps = media / "usr/share/tuxpaint/stamps"
    loops = sorted(media.glob("usr/**/sonic-pi/**/loop_*.flac"))
    spoken = sorted(stamps.rglob("*_desc*.ogg"))
    voices = [path for path in sorted((stamps / "animals").rglob("*.ogg")) if path not in spoken]
    speech = Kind("spoken descriptions (tuxpaint, many languages)", ("speech",), _load(spoken))
    music = Kind("music loops (scratch)", ("music",), _load(_files(scratch / "Music Loops")))
    yield speech
    yield music
    yield Kind("instruments (scratch)", ("music",), _load(_files(scratch / "Instruments")))
    yield Kind("drum and synth loops (sonic-pi)", ("music",), _load(loops))
    yield Kind("animals (tuxpaint)", ("other",), _load(voices))
    yield Kind("animals (scratch)", ("other",), _load(_files(scratch / "Animal")))
    yield Kind("effects (scratch)", ("other",), _load(_files(scratch / "Effects")))
    yield Kind("laughs, coughs, cries (scratch)", ("other",), _load(_files(scratch / "Human")))
    for level in MIXTURES_DB:
        mixed = [
            _mixed(voice, music.sounds[number % len(music.sounds)], level)
            for number, voice in enumerate(speech.sounds[:100])
        ]
        yield Kind(f"speech with music {level} dB below it", ("speech", "music"), mixed)


def shares(judge: Judge, sound: Sound) -> dict[str, float]:
    """Which part of a sound has each label."""
    found = dict.fromkeys(LABELS, 0.0)
    for cell in cells_of(sound, judge, SILENCE_DBFS):
        for label in cell.labels:
            found[label] += (cell.end - cell.first) / len(sound.magnitudes)
    return found


def main(media: Path) -> None:
    """Print the result file."""
    judge = load_judge()
    print("| sounds | number | expected | from | right | speech | music | other | silence |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in kinds(media):
        for source in ("samples", "log-mel"):
            found = [shares(judge, _sound(samples, source)) for samples in kind.sounds]
            has = {name: [one[name] >= 0.5 for one in found] for name in LABELS}
            right = np.mean([all(has[name][at] for name in kind.expected) and
                             not any(has[name][at] for name in ("speech", "music")
                                     if name not in kind.expected)
                             for at in range(len(found))])  # fmt: skip
            cells = " | ".join(f"{np.mean(has[name]):.0%}" for name in LABELS)
            expected = " and ".join(kind.expected)
            name, number = (kind.name, len(found)) if source == "samples" else ("", "")
            print(f"| {name} | {number} | {expected} | {source} | {right:.0%} | {cells} |")


def _sound(samples: Samples, source: str) -> Sound:
    if source == "samples":
        return sound_of_samples(samples, RECIPE.sample_rate_hz)
    recipe = Recipe(num_frames=max(1, int(len(samples) / RECIPE.sample_rate_hz * RECIPE.fps)))
    return sound_of_logmel(log_mel(samples[: recipe.clip_samples], recipe), recipe)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".mp3"))


def _load(paths: Sequence[Path]) -> list[Samples]:
    chosen = random.Random(0).sample(paths, min(len(paths), MAX_SOUNDS))
    loaded = [decoded(path) for path in sorted(chosen)]
    return [samples for samples in loaded if len(samples) >= MIN_SECONDS * RECIPE.sample_rate_hz]


def decoded(path: Path) -> Samples:
    """At most `MAX_SECONDS` of a file, mono, at the rate of the recipe."""
    command = [ffmpeg_path(), "-v", "fatal", "-t", str(MAX_SECONDS), "-i", str(path), "-ac", "1"]
    command += ["-ar", str(RECIPE.sample_rate_hz), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout, "<f4")


def _mixed(voice: Samples, music: Samples, level: float) -> Samples:
    """Speech, and music that is so many dB quieter."""
    background = np.resize(music, len(voice))
    rms = [max(1e-6, float(np.sqrt(np.mean(np.square(x))))) for x in (voice, background)]
    mixed = voice + background * (rms[0] / rms[1] * 10 ** (-level / 20))
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
