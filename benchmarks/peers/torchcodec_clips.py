"""torchcodec, clip by clip, in one process.

    python -m benchmarks.peers.torchcodec_clips FOLDER_OF_MOVIES OUT CPUS

As many movies are decoded at the same time as there are CPUs, each by a thread of its own, as its
guide to parallel decoding says.
One decoder per movie, and one request per clip in their order, so that no request has to seek
back. The frames are resized while they are decoded (`transforms`), as its guide to performance
says. Audio is decoded once per movie, because the decoder reads from the start for each range.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torchcodec.decoders import AudioDecoder, VideoDecoder
from torchcodec.transforms import Resize

from benchmarks.peers import clip_output as output


def make_clips(path: Path, out: Path) -> None:
    """Write a movie's clips as a shard."""
    with output.new_shard(out / f"{path.stem}.tar") as writer:
        write_clips(path, writer)


def write_clips(path: Path, writer: output.TarWriter) -> None:
    """Add a movie's clips to a shard."""
    video = VideoDecoder(
        str(path),
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        transforms=[Resize((output.HEIGHT, output.WIDTH))],
    )
    audio = AudioDecoder(str(path), sample_rate=output.SAMPLE_RATE_HZ, num_channels=1)
    samples = audio.get_all_samples().data[0].numpy()
    metadata = video.metadata
    begin = metadata.begin_stream_seconds
    num_clips = int((metadata.end_stream_seconds - begin) / output.CLIP_SECONDS)
    for number in range(num_clips):
        first = number * output.NUM_FRAMES
        seconds = [begin + (first + at) / output.FPS for at in range(output.NUM_FRAMES)]
        frames = video.get_frames_played_at(seconds).data.numpy()
        part = samples[number * output.CLIP_SAMPLES :][: output.CLIP_SAMPLES]
        members = {
            "frames.jpg": output.film_strip(frames),
            "logmel.npy": output.npy(output.log_mel(part)),
        }
        writer.add(f"{path.stem}_{number:06d}", members)


def main() -> None:
    """Make the clips of a folder's movies."""
    torch.set_num_threads(1)
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    with ThreadPoolExecutor(int(sys.argv[3])) as pool:
        for done in [pool.submit(make_clips, path, out) for path in sorted(folder.iterdir())]:
            done.result()


if __name__ == "__main__":
    main()
