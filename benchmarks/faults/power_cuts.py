"""What is left of a local dataset when the power fails during a run, or right after it?

    sudo python -m benchmarks.faults.power_cuts [--cuts 20]

The dataset is on an ext4 file system in a file, mounted through a loop device. A copy of that file
is what a disk has at that moment: only what was flushed. Copies are taken during a run, and right
after it has ended. Each is mounted (which replays the journal) and looked at: every commit record
must be readable, and every shard that it lists complete. The last copies are run to their end and
compared with the undisturbed dataset. Needs root and a free loop device.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from benchmarks.support import RESULTS, processor
from shards_spec.dataset.index import read_commit
from shards_spec.errors import ReelshardsError
from shards_spec.storage import Storage
from shards_spec.storage.local_file import write_file
from tests.support.datasets.outcome import digests
from tests.support.films.media import Film, make_film

RESULT = RESULTS / "power_cuts.md"
NUM_MOVIES = 5
IMAGE_BYTES = 256 << 20
OPTIONS = ["--short-side", "32", "--num-frames", "8", "--seed", "3", "--workers", "1"]


@dataclass(frozen=True)
class Cut:
    """What one copy of the disk holds."""

    when: str
    num_commits: int
    num_bad: int
    """Commit records that cannot be read, or list a shard that is not complete."""
    resumed: str = ""
    """The outcome of running it to its end."""


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The file system in a file."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def preprocess(films: Path, out: Path) -> subprocess.Popen[bytes]:
    """A run in the background."""
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), "--out", str(out)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, *OPTIONS], stdout=quiet, stderr=quiet)


def looked_at(image: Path, folder: Path, when: str) -> Cut:
    """What a copy holds."""
    with mounted(image, folder):
        if not (folder / "out").is_dir():
            return Cut(when, 0, 0)
        storage = Storage(str(folder / "out"))
        names = [path.stem for path in (folder / "out").glob("commits/*.parquet")]
        return Cut(when, len(names), sum(not is_complete(storage, name) for name in names))


def is_complete(storage: Storage, movie_id: str) -> bool:
    """Whether all clips of a movie can be read."""
    try:
        _, clips = read_commit(storage, movie_id)
        return all(
            google_crc32c.value(bytes(storage.get_range(c.shard, c.tar_offset, c.tar_bytes)))
            == c.crc32c
            for c in clips
        )
    except ReelshardsError:
        return False


def resumed(image: Path, folder: Path, films: Path, expected: dict[str, str]) -> str:
    """Run a copy to its end; returns whether the result is the undisturbed one."""
    with mounted(image, folder):
        code = preprocess(films, folder / "out").wait()
        if code:
            return f"**exit code {code}**"
        found = digests(folder / "out")
        leftovers = list((folder / "out").rglob("*#*"))
        same = found == expected and not leftovers
        return "same bytes, nothing left over" if same else f"**differs** {leftovers}"


def cost_of_flushing(folder: Path, num_files: int = 100) -> tuple[float, float]:
    """Seconds per file of 300 kB, with and without flushing."""
    began = time.perf_counter()
    for number in range(num_files):
        write_file(folder / "flushed" / str(number), b"x" * 300_000)
    middle = time.perf_counter()
    (folder / "plain").mkdir()
    for number in range(num_files):
        path = folder / "plain" / str(number)
        path.with_name(f"{number}#1").write_bytes(b"x" * 300_000)
        path.with_name(f"{number}#1").replace(path)
    return (middle - began) / num_files, (time.perf_counter() - middle) / num_files


def main() -> None:
    """Run, cut and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--resumes", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, films = folder / "disk", folder / "movies"
        films.mkdir()
        for number in range(NUM_MOVIES):
            make_film(films / f"{number}.mp4", Film(seconds=6 + number, width=96, height=64))
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        with mounted(image, folder / "mount") as disk:
            out = disk / "out"
            copies = list(cut_during(preprocess(films, out), out, image, options.cuts))
            expected = digests(out)
            flushed, plain = cost_of_flushing(disk)
        cuts = []
        for number, (when, copy) in enumerate(copies):
            cut = looked_at(copy, folder / "copy", when)
            is_last = number >= len(copies) - options.resumes
            outcome = resumed(copy, folder / "copy", films, expected) if is_last else ""
            cuts.append(Cut(when, cut.num_commits, cut.num_bad, outcome))
            print(cuts[-1], flush=True)
        options.out.write_text(report(cuts, flushed, plain))


def cut_during(
    run: subprocess.Popen[bytes], out: Path, image: Path, num_cuts: int
) -> Iterator[tuple[str, Path]]:
    """Copies of the disk: one after each change of the dataset, and one right after the end."""
    last, number = "", 0
    while run.poll() is None:
        names = (str(path) for path in out.rglob("*") if path.is_file())
        now = " ".join(sorted(n for n in names if "run.lock" not in n and "#" not in n))
        if now != last and number < num_cuts:
            last, number = now, number + 1
            num_committed = len(list(out.glob("commits/*.parquet")))
            yield f"during, {num_committed} committed", copied(image, number)
        time.sleep(0.02)
    assert run.returncode == 0, run.returncode
    yield "right after the end", copied(image, num_cuts + 1)


def copied(image: Path, number: int) -> Path:
    """A copy of the disk as it is now, without what is only in memory."""
    copy = image.with_name(f"copy-{number}")
    shutil.copyfile(image, copy)
    return copy


def report(cuts: list[Cut], flushed: float, plain: float) -> str:
    """The result file."""
    lines = [
        "# Power failures\n",
        f"`python -m benchmarks.faults.power_cuts`, on {processor()}. {NUM_MOVIES} movies; "
        "the dataset is on ext4 in a file, of which a copy has only what was flushed.\n",
        f"A file of 300 kB takes {flushed * 1000:.1f} ms to write when it is flushed and "
        f"{plain * 1000:.1f} ms when it is not ({flushed / plain:.0f} times as long); a movie has "
        "one such write per shard and one for its commit record.\n",
        "| power failed | commit records | unreadable or without a complete shard | run again |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {cut.when} | {cut.num_commits} | **{cut.num_bad}** | {cut.resumed} |" for cut in cuts
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
