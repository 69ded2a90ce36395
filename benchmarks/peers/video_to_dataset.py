"""video2dataset in the three calls that decode a movie only once.

    python -m benchmarks.peers.video_to_dataset FOLDER_OF_MOVIES OUT CPUS

`download` copies the movies into a shard, `subset` scales them and lowers their frame rate, and
`download` cuts these small videos into clips of the exact length. Cutting first, as usual, encodes
the video in full size once more; scaling in `download` fails in version 1.3.0 (`AttributeError:
'ResolutionSubsampler' object has no attribute 'encode_formats'`). One process per CPU, with
one thread each, and one movie per shard, because a shard is what a process works on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from video2dataset import video2dataset

from benchmarks.peers import clip_output as output

FORMATS = {"video": "mp4"}


def config(**subsampling: Any) -> dict[str, Any]:
    """The defaults with the given subsamplers, a movie per shard and a process per CPU."""
    return {
        "subsampling": {name: {"args": args} for name, args in subsampling.items()},
        "reading": {"timeout": 60, "sampler": None, "yt_args": {}},
        "storage": {
            "number_sample_per_shard": 1,
            "oom_shard_count": 5,
            "captions_are_subtitles": False,
        },
        "distribution": {
            "processes_count": int(sys.argv[3]),
            "thread_count": 1,
            "subjob_size": 1000,
            "distributor": "multiprocessing",
            "distributor_args": {},
        },
    }


def num_clips(path: Path) -> int:
    """Whole clips of a video."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]
    return int(float(subprocess.check_output([*command, str(path)])) / output.CLIP_SECONDS)


def download(table: Path, rows: list[dict[str, Any]], out: Path, **options: Any) -> None:
    """The call that reads files by a table of paths."""
    table.write_text(json.dumps(rows))
    video2dataset(
        url_list=str(table),
        input_format="json",
        output_folder=str(out),
        output_format="webdataset",
        encode_formats=FORMATS,
        **options,
    )


def main() -> None:
    """Make the clips of a folder's movies."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True)
    movies = [{"url": str(path.resolve())} for path in sorted(folder.iterdir())]
    download(out / "movies.json", movies, out / "movies", config=config())
    shards = "00000" if len(movies) == 1 else f"{{00000..{len(movies) - 1:05d}}}"
    video2dataset(
        url_list=f"{out}/movies/{shards}.tar",
        input_format="webdataset",
        output_folder=f"{out}/small",
        output_format="files",
        stage="subset",
        encode_formats=FORMATS,
        config=config(
            ResolutionSubsampler={
                "width": output.WIDTH,
                "height": output.HEIGHT,
                "resize_mode": "scale",
            },
            FrameSubsampler={"frame_rate": output.FPS},
        ),
    )
    small = sorted((out / "small").rglob("*.mp4"))
    spans = [
        [
            [at * output.CLIP_SECONDS, (at + 1) * output.CLIP_SECONDS]
            for at in range(num_clips(path))
        ]
        for path in small
    ]
    rows = [{"url": str(path), "clips": clips} for path, clips in zip(small, spans, strict=True)]
    exact = config(ClippingSubsampler={"precision": "exact"})
    download(out / "small.json", rows, out / "clips", clip_col="clips", config=exact)


if __name__ == "__main__":
    main()
