"""Labeled sounds and clips of Debian packages, in the layouts that `reelshards transfer` reads.

    apt-get download scratch=1.4.0.6~dfsg1-6.1 sonic-pi-samples=3.2.2~repack-8 \\
      tuxpaint-stamps-default=2022.06.04-1
    for package in *.deb; do dpkg -x $package media/; done
    python -m benchmarks.transfer.media media big_buck_bunny.mp4 data/transfer

    everyday    ESC-50      114 sounds of scratch (CC BY-SA 3.0) in 8 folders, which are the classes
    samples     ESC-50      sounds of sonic-pi (mostly CC0); the class is what the name begins with
    animals     VGGSound    pictures and voices of birds and mammals of tuxpaint (GPL-2); the
                            picture is slowly enlarged
    minutes     UCF101      6-second clips of Big Buck Bunny (CC BY 3.0, Blender Foundation,
                            www.blender.org); the class is the minute of the film, and two
                            consecutive clips are a group

Folds are ours: files in alphabetical order, in turn.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from pipeline.ffmpeg.binaries import ffmpeg_path

NUM_SOUND_FOLDS = 5
NUM_VIDEO_FOLDS = 3

#: Fewer sounds than this do not make a class.
LEAST_SOUNDS = 8

ANIMAL_SECONDS = 4
CLIP_SECONDS = 6
CLIPS_PER_MINUTE = 60 // CLIP_SECONDS
NUM_MINUTES = 9


def write_esc50(root: Path, sounds: Iterable[tuple[str, Path]]) -> None:
    """Sounds as (class, file)."""
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    seen: Counter[str] = Counter()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for number, (label, path) in enumerate(sounds):
            fold = seen[label] % NUM_SOUND_FOLDS + 1
            seen[label] += 1
            name = f"{fold}-{number}-A{path.suffix}"
            shutil.copy(path, root / "audio" / name)
            writer.writerow((name, fold, 0, label, False, path.stem, "A"))


def everyday(media: Path) -> list[tuple[str, Path]]:
    """Sounds of scratch."""
    folder = media / "usr/share/scratch/Media/Sounds"
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".mp3"))
    return [(path.parent.name, path) for path in files]


def samples(media: Path) -> list[tuple[str, Path]]:
    """Sounds of sonic-pi."""
    files = sorted((media / "usr").rglob("sonic-pi/**/*.flac"))
    found = [(path.name.partition("_")[0], path) for path in files]
    sizes = Counter(label for label, _ in found)
    return [(label, path) for label, path in found if sizes[label] >= LEAST_SOUNDS]


def write_animals(root: Path, media: Path) -> None:
    """Pictures and voices of tuxpaint; every third is for testing."""
    stamps = media / "usr/share/tuxpaint/stamps/animals"
    (root / "video").mkdir(parents=True)
    lines = []
    for label in ("birds", "mammals"):
        voices = sorted(p for p in (stamps / label).rglob("*.ogg") if "_desc" not in p.name)
        for number, voice in enumerate(p for p in voices if p.with_suffix(".png").exists()):
            lines.append((voice.stem, 0, label, "test" if number % 3 == 2 else "train"))
            target = root / "video" / f"{voice.stem}_000000.mp4"
            write_picture(voice.with_suffix(".png"), voice, target)
    with (root / "vggsound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def write_picture(picture: Path, voice: Path, target: Path) -> None:
    """A video in which a picture is slowly enlarged, with a voice."""
    _ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "320x240", "-r", "25"),
        *("-i", "pipe:0", "-i", voice, "-t", str(ANIMAL_SECONDS)),
        *("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
        target,
        frames=_enlarging(picture),
    )


def _enlarging(picture: Path) -> bytes:
    """Frames of 320x240 BGR in which a picture on white grows by a fifth."""
    pixels = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, picture
    if pixels.shape[2] == 4:
        opaque = pixels[:, :, 3:] / 255.0
        pixels = (pixels[:, :, :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
    fit = min(320 / pixels.shape[1], 240 / pixels.shape[0])
    count = ANIMAL_SECONDS * 25
    frames = []
    for number in range(count):
        scale = fit * (0.8 + 0.2 * number / count)
        left, top = 160 - scale * pixels.shape[1] / 2, 120 - scale * pixels.shape[0] / 2
        place = np.array([[scale, 0, left], [0, scale, top]])
        white = (255, 255, 255)
        frames.append(cv2.warpAffine(pixels, place, (320, 240), flags=cv2.INTER_AREA,
                                     borderValue=white).tobytes())  # fmt: skip
    return b"".join(frames)


def write_minutes(root: Path, film: Path) -> None:
    """Clips of a film by its minutes."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    labels = [f"Minute{number}" for number in range(1, NUM_MINUTES + 1)]
    (lists / "classInd.txt").write_text(
        "".join(f"{number} {label}\n" for number, label in enumerate(labels, 1))
    )
    parts = root / "parts"
    parts.mkdir()
    _ffmpeg("-i", film, "-an", "-vf", "scale=320:-2", "-c:v", "libx264", "-preset", "veryfast",
            "-force_key_frames", f"expr:gte(t,n_forced*{CLIP_SECONDS})", "-f", "segment",
            "-segment_time", str(CLIP_SECONDS), "-reset_timestamps", "1",
            parts / "%03d.avi")  # fmt: skip
    groups = []
    for number in range(NUM_MINUTES * CLIPS_PER_MINUTE):
        label = labels[number // CLIPS_PER_MINUTE]
        group = number % CLIPS_PER_MINUTE // 2 + 1
        name = f"{label}/v_{label}_g{group:02d}_c{number % 2 + 1:02d}.avi"
        target = root / "UCF-101" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (parts / f"{number:03d}.avi").rename(target)
        groups.append((name, labels.index(label) + 1, group))
    shutil.rmtree(parts)
    for fold in range(1, NUM_VIDEO_FOLDS + 1):
        train = [f"{name} {label}\n" for name, label, group in groups if group % 3 != fold - 1]
        test = [f"{name}\n" for name, _, group in groups if group % 3 == fold - 1]
        (lists / f"trainlist{fold:02d}.txt").write_text("".join(train))
        (lists / f"testlist{fold:02d}.txt").write_text("".join(test))


def _ffmpeg(*arguments: str | Path, frames: bytes = b"") -> None:
    command = [ffmpeg_path(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, input=frames)


def main() -> None:
    """Write all four; the arguments are the unpacked packages, the film, and the target."""
    media, film, target = map(Path, sys.argv[1:4])
    write_esc50(target / "everyday", everyday(media))
    write_esc50(target / "samples", samples(media))
    write_animals(target / "animals", media)
    write_minutes(target / "minutes", film)


if __name__ == "__main__":
    main()
