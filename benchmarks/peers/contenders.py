"""Who is compared: the commands, what each of them makes of a movie and what it leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from pipeline.ffmpeg.binaries import ffmpeg_path, ffprobe_path

ROOT = Path(__file__).parents[2]

#: What no peer does, and reelshards does in the measured runs.
ALL_LACK = (
    "align audio and video by their timestamps, offsets and gaps",
    "detect and crop black bars",
    "find damage and report what was lost",
    "score and drop black, silent and frozen clips, and find shots",
    "keep a movie's clips together, with an index, checksums and a commit record per movie",
    "retry and resume by movie without decoding it twice",
)


@dataclass(frozen=True)
class Contender:
    """A program that makes clips of a folder's movies."""

    name: str
    """Of a peer, also that of its distribution, whose version is reported."""
    imports: str
    """Modules that must exist, separated by commas."""
    module: str
    """What is run with a folder of movies, an output folder and a number of CPUs."""
    makes: str
    output: str = "*.tar"
    """Pattern of the files with clips, below the output folder."""
    lacks: str = ""
    """Beyond `ALL_LACK`."""

    def command(self, python: str, movies: Path, out: Path, cpus: int = 1) -> list[str]:
        """The command, with ffmpeg where its packages look for it."""
        command = [python, "-m", self.module]
        if self is REELSHARDS:
            command += ["preprocess", str(movies), "--out", str(out)]
            return [*command, "--workers", str(cpus)]
        path = f"PATH={programs()}:{os.environ['PATH']}"
        return ["env", f"PYTHONPATH={ROOT}", path, *command, str(movies), str(out), str(cpus)]

    def num_clips(self, out: Path) -> int:
        """Clips in the output."""
        return sum(_count(path) for path in out.glob(self.output))


REELSHARDS = Contender(
    name="reelshards",
    imports="pipeline",
    module="pipeline",
    output="shards/**/*.tar",
    makes="film strips, log-mels and statistics in WebDataset shards with an index; one worker",
)

PEERS = (
    Contender(
        name="ray",
        imports="ray,av",
        module="benchmarks.peers.ray_pyav",
        makes="Ray Data with PyAV: film strips and log-mels in WebDataset shards; one CPU",
    ),
    Contender(
        name="torchcodec",
        imports="torchcodec.decoders",
        module="benchmarks.peers.torchcodec_clips",
        makes="film strips and log-mels in a WebDataset shard per movie; a loop over clips, one "
        "thread per movie",
        lacks="scales bilinearly, has no way to spread movies over processes",
    ),
    Contender(
        name="daft",
        imports="daft,av",
        module="benchmarks.peers.daft_frames",
        output="*.parquet",
        makes="16 JPEGs and a log-mel per row of a Parquet file; one thread per CPU, one movie at "
        "a time",
        lacks="scales bilinearly; its audio functions do not read movies, so audio is a function "
        "of ours with PyAV",
    ),
    Contender(
        name="video2dataset",
        imports="video2dataset",
        module="benchmarks.peers.video_to_dataset",
        output="clips/*.tar",
        makes="MP4 clips of 5 frames per second and 224 x 128 with AAC audio, in WebDataset "
        "shards; one process",
        lacks="no frames and no audio features: training decodes H.264 and AAC",
    ),
    Contender(
        name="nemo-curator",
        imports="nemo_curator.pipeline,nemo_curator.stages.video.clipping.clip_frame_extraction",
        module="benchmarks.peers.nemo_curator",
        output="clips/*.mp4",
        makes="MP4 clips of full size (VP9) with copied audio; frames of 224 x 128 are extracted "
        "and discarded, as no stage stores them; one CPU per stage",
        lacks="no audio features; the whole movie is held in memory",
    ),
)


def programs() -> Path:
    """A folder with `ffmpeg` and `ffprobe`, ours, for packages that start them by name."""
    folder = ROOT / "build" / "peers-bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in (("ffmpeg", ffmpeg_path()), ("ffprobe", ffprobe_path())):
        link = folder / name
        if not link.is_symlink() or link.readlink() != Path(path):
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return folder


def version(contender: Contender, python: str) -> tuple[str, str]:
    """(version, "") or ("", why it cannot be measured) of a contender in an environment."""
    code = (
        f"import importlib.metadata, {contender.imports}; "
        f"print('version', importlib.metadata.version({contender.name!r}))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        return "", str(error)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["exited without a message"])[-1]
    return done.stdout.rpartition("version ")[2].strip(), ""


def python_of(contender: Contender, given: dict[str, str]) -> str:
    """The interpreter of a contender's environment."""
    return given.get(contender.name, sys.executable)


def _count(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            return sum(name.endswith((".frames.jpg", ".mp4")) for name in tar.getnames())
    return 1
