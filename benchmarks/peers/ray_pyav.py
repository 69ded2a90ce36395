"""Ray Data with PyAV, as its guides say: `from_items`, `flat_map`, `map`, `write_webdataset`.

    python -m benchmarks.peers.ray_pyav FOLDER_OF_MOVIES OUT CPUS

A movie is one row and is read once, audio and video together; every clip is a row of the next
dataset. Codecs use one thread, and Ray has the given CPUs, as a run of ours with as many workers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import ray

from benchmarks.peers import clip_output as output

Row = dict[str, Any]


def read_clips(row: Row) -> Iterator[Row]:
    """A movie's row -> the frames and audio of its clips, in order."""
    path = row["path"]
    frames: list[Any] = []
    audio: list[Any] = []
    number, step, num_samples = 0, 0, 0
    with av.open(path) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        streams = [video, *container.streams.audio[:1]]
        resampler = av.AudioResampler("fltp", "mono", output.SAMPLE_RATE_HZ)
        for frame in container.decode(*streams):
            if isinstance(frame, av.AudioFrame):
                for part in resampler.resample(frame):
                    audio.append(part.to_ndarray()[0])
                    num_samples += len(audio[-1])
            elif frame.pts * frame.time_base >= Fraction(step, output.FPS):
                small = frame.reformat(
                    output.WIDTH, output.HEIGHT, "rgb24", interpolation="BICUBIC"
                )
                frames.append(small.to_ndarray())
                step += 1
            # Audio may be stored a little after the frames that it belongs to.
            if len(frames) >= output.NUM_FRAMES and num_samples >= output.CLIP_SAMPLES:
                samples = np.concatenate(audio)
                yield _row(path, number, frames, samples)
                frames, audio = frames[output.NUM_FRAMES :], [samples[output.CLIP_SAMPLES :]]
                num_samples -= output.CLIP_SAMPLES
                number += 1
    if len(frames) >= output.NUM_FRAMES:
        yield _row(path, number, frames, np.concatenate([*audio, np.zeros(0, np.float32)]))


def encode(row: Row) -> Row:
    """A clip as WebDataset members."""
    return {
        "__key__": row["__key__"],
        "frames.jpg": output.film_strip(row["frames"]),
        "logmel.npy": output.npy(output.log_mel(row["audio"])),
    }


def _row(path: str, number: int, frames: list[Any], samples: Any) -> Row:
    return {
        "__key__": f"{Path(path).stem}_{number:06d}",
        "frames": np.stack(frames[: output.NUM_FRAMES]),
        "audio": samples[: output.CLIP_SAMPLES],
    }


def main() -> None:
    """Make the clips of a folder's movies."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    ray.init(num_cpus=int(sys.argv[3]), include_dashboard=False, logging_level="warning")
    ray.data.DataContext.get_current().enable_progress_bars = False
    paths = [{"path": str(path)} for path in sorted(folder.iterdir())]
    clips = ray.data.from_items(paths, override_num_blocks=len(paths)).flat_map(read_clips)
    clips.map(encode).write_webdataset(str(out), encoder=None)


if __name__ == "__main__":
    main()
