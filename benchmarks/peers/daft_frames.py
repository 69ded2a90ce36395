"""Daft's `read_video_frames` for the frames, and a function of its user for the audio.

    python -m benchmarks.peers.daft_frames FOLDER_OF_MOVIES OUT CPUS

Daft decodes, samples at 5 frames per second, resizes and encodes each frame as a JPEG. Its own
audio functions read audio files but not movies, so a generator function with PyAV returns the
log-mels. Frames are grouped into clips, joined with them and written as Parquet. Daft has one
thread per CPU. Every movie is a query, because `read_video_frames` of two files never ended (0.7.26
with PyAV 18.1).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import daft
import numpy as np
from daft import DataType, col
from daft.functions import encode_image

from benchmarks.peers import clip_output as output


def log_mels(uri: str) -> Iterator[dict[str, Any]]:
    """(clip number, log-mel as the bytes of a `.npy` file) of a movie's clips."""
    with av.open(uri.removeprefix("file://")) as container:
        resampler = av.AudioResampler("fltp", "mono", output.SAMPLE_RATE_HZ)
        parts = [
            part.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    samples = np.concatenate(parts)
    for number in range(len(samples) // output.CLIP_SAMPLES):
        part = samples[number * output.CLIP_SAMPLES :][: output.CLIP_SAMPLES]
        yield {"clip": number, "logmel": output.npy(output.log_mel(part))}


def make_clips(path: Path, out: Path) -> None:
    """Write a movie's clips."""
    frames = daft.read_video_frames(
        path.as_uri(),
        image_height=output.HEIGHT,
        image_width=output.WIDTH,
        sample_interval_seconds=1 / output.FPS,
    )
    clips = (
        frames.with_column("clip", (col("frame_time") / output.CLIP_SECONDS).cast(DataType.int64()))
        .with_column("frame", encode_image(col("data"), "JPEG"))
        .groupby("path", "clip")
        .agg(col("frame").list_agg(), col("frame_time").list_agg())
    )
    kind = DataType.struct({"clip": DataType.int64(), "logmel": DataType.binary()})
    mels = daft.func(log_mels, return_dtype=kind, unnest=True)
    audio = daft.from_pydict({"path": [path.as_uri()]}).select(col("path"), mels(col("path")))
    clips.join(audio, on=["path", "clip"]).write_parquet(str(out))


def main() -> None:
    """Make the clips of a folder's movies."""
    daft.set_runner_native(num_threads=int(sys.argv[3]))
    folder, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    for path in sorted(folder.iterdir()):
        make_clips(path, out)


if __name__ == "__main__":
    main()
