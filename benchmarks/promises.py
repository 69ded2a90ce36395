"""What the stream, webdataset, litData and mosaic streaming keep of five promises: each cell
tested.

    python -m benchmarks.promises [--out benchmarks/results/promises.md]

Every library reads the same small set (12 movies of 20 clips, global batches of 16) in processes of
its own, with ranks over gloo, and writes down the numbers of the clips of each batch. The cells are
comparisons of these lists; within a global batch the order does not count.

exact m x k       every batch has 4 movies with 4 clips of each
once an epoch     no clip twice in an epoch, none missing
resume            5 batches, state saved; a new process continues with the same batches
resume, 2 ranks   the same state, taken up by two ranks
2 ranks, workers  two ranks, or 3 workers for 1, from the start: the same global batches
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.loaders import peers
from benchmarks.loaders.clip_sets import Sizes, make
from benchmarks.loaders.peers import LOADERS, PACKAGES, Source

SIZES = Sizes(num_movies=12, clips_per_movie=20, chunk_bytes=512 * 1024)
MOVIES, CLIPS = 4, 4
NUM_BEFORE, NUM_AFTER = 5, 5
PROBE_SECONDS = 180
NO_STATE = "its loader has no state to save"

Batches = list[list[int]]
PROMISES = (
    "exact m x k", "once an epoch", "resume", "resume, 2 ranks", "2 ranks", "3 workers",
)  # fmt: skip


class CannotTryError(Exception):
    """Why a promise could not be put to the test."""


def main() -> None:
    """Try every cell and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/promises.md"))
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        probe(**json.loads(arguments.probe))
        return
    versions = {library: peers.version(library) for library in PACKAGES}
    names = {"litData": "litdata", "mosaic streaming": "mosaic"}
    with tempfile.TemporaryDirectory(prefix="promises-") as folder:
        clips = Path(folder) / "clips"
        make(clips, SIZES, ["reelshards", *(names[one] for one in names if versions[one])])
        rows = {"reelshards": _Trials("reelshards", clips).row()}
        for library, version in versions.items():
            reason = "could not be tried: not installed"
            rows[library] = (
                _Trials(library, clips).row() if version else dict.fromkeys(PROMISES, reason)
            )
    text = page(rows, versions)
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)


class _Trials:
    """The cells of one library."""

    def __init__(self, library: str, clips: Path) -> None:
        self._library, self._clips = library, clips
        self._folder = Path(tempfile.mkdtemp(dir=clips.parent))
        self._state = self._folder / "state"

    def row(self) -> dict[str, str]:
        """What became of each promise."""
        try:
            straight = self._read()
        except CannotTryError as reason:
            return dict.fromkeys(PROMISES, f"could not be tried: {reason}")
        after = straight[NUM_BEFORE : NUM_BEFORE + NUM_AFTER]
        trials: dict[str, Callable[[], str]] = {
            "exact m x k": lambda: _exact(straight),
            "once an epoch": lambda: _once(straight),
            "resume": lambda: _equal(self._resumed(1), after),
            "resume, 2 ranks": lambda: _equal(self._resumed(2), after),
            "2 ranks": lambda: _equal(self._read(world_size=2), straight),
            "3 workers": lambda: _equal(self._read(num_workers=3), straight),
        }
        cells = {}
        for name, trial in trials.items():
            try:
                cells[name] = trial()
            except CannotTryError as reason:
                # Nothing to resume from is an answer.
                word = "no" if NO_STATE in str(reason) else "could not be tried"
                cells[name] = f"{word}: {reason}"
            print(f"{self._library}: {name}: {cells[name]}", file=sys.stderr)
        return cells

    def _resumed(self, world_size: int) -> Batches:
        if not self._state.exists():
            self._read(num=NUM_BEFORE, save=True)
        return self._read(world_size=world_size, num=NUM_AFTER, load=True)

    def _read(
        self,
        *,
        world_size: int = 1,
        num_workers: int = 1,
        num: int = 0,
        save: bool = False,
        load: bool = False,
    ) -> Batches:
        """Global batches as all ranks read them; 0 is an epoch."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        source = Source(
            folder=self._clips,
            url="",
            cache=self._folder,
            batch_size=MOVIES * CLIPS // world_size,
            num_workers=num_workers,
            clips_per_movie=SIZES.clips_per_movie,
        )
        values = {
            "library": self._library,
            "source": dataclasses.asdict(source),
            "num": num,
            "save": self._state if save else "",
            "load": self._state if load else "",
        }
        outs = [self._folder / f"out-{rank}" for rank in range(world_size)]
        ranks = [
            _start({**values, "out": out}, rank, world_size, port) for rank, out in enumerate(outs)
        ]
        _wait(ranks)
        parts = [json.loads(out.read_text()) for out in outs]
        # A rank may have had fewer steps than others.
        steps = itertools.zip_longest(*parts, fillvalue=[])
        return [[clip for part in step for clip in part] for step in steps]


def _start(values: dict[str, Any], rank: int, world_size: int, port: int) -> subprocess.Popen[str]:
    """A rank that reads what `values` say, see `probe`."""
    environment = {
        **os.environ,
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)},
        **{"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1"},
        **{"MASTER_PORT": str(port), "PYTHONWARNINGS": "ignore"},
    }
    command = [sys.executable, "-m", "benchmarks.promises", "--probe"]
    return subprocess.Popen(
        [*command, json.dumps(values, default=str)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(ranks: list[subprocess.Popen[str]]) -> None:
    """Wait for all ranks. Raises `CannotTryError` with the last line of one that failed."""
    reason = ""
    for rank in ranks:
        try:
            _, said = rank.communicate(timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            rank.kill()
            rank.communicate()
            reason = reason or f"no end within {PROBE_SECONDS} s"
            continue
        if rank.returncode and not reason:
            lines = [line for line in said.splitlines() if line.strip()] or ["it failed"]
            reason = lines[-1].rpartition("Error: ")[2].replace("|", "/")[:160]
    if reason:
        raise CannotTryError(reason)


def probe(library: str, source: dict[str, Any], out: str, num: int, save: str, load: str) -> None:
    """One rank: read batches, write their clips, keep or take up a state."""
    import torch.distributed as dist

    dist.init_process_group("gloo")
    paths = {name: Path(source[name]) for name in ("folder", "cache")}
    place = Source(**{**source, **paths})
    read = _ours if library == "reelshards" else _theirs
    found = list(read(library, place, num, save, load))
    Path(out).write_text(json.dumps(found))
    # Loader processes of some libraries keep the interpreter from ending.
    sys.stdout.flush()
    os._exit(0)


def _ours(_: str, source: Source, num: int, save: str, load: str) -> Iterator[list[int]]:
    import torch.distributed as dist

    from shards_spec.dataset.reader import open_dataset
    from trainer.data.loader import StreamConfig
    from trainer.data.plan import BatchPolicy, PlanState
    from trainer.data.stream import ClipStream

    policy = BatchPolicy(movies_per_batch=MOVIES, clips_per_movie=CLIPS)
    dataset = open_dataset(source.uri("reelshards"))
    config = StreamConfig(frame_size=peers.FRAME_SIZE, num_processes=source.num_workers)
    saved = PlanState.from_json(json.loads(Path(load).read_text())) if load else None
    ranks = {"rank": dist.get_rank(), "world_size": dist.get_world_size()}
    place = {"epoch": saved.epoch, "step": saved.step} if saved else {}
    with ClipStream(dataset, policy, config, seed=1, **ranks, **place) as stream:
        for _ in range(num or stream.num_steps_per_epoch):
            # The rows of the index are sorted by movie and place, like the numbers of the set.
            yield next(stream).clip.tolist()
        if save:
            Path(save).write_text(json.dumps(stream.state().to_json()))


def _theirs(library: str, source: Source, num: int, save: str, load: str) -> Iterator[list[int]]:
    loader = LOADERS[library](source)
    if (save or load) and not hasattr(loader, "state_dict"):
        raise CannotTryError(NO_STATE)
    if load:
        loader.load_state_dict(json.loads(Path(load).read_text(), object_hook=_numbered))
    for number, batch in enumerate(loader, start=1):
        yield batch[0].tolist()
        if num and number == num:
            break
    if save:
        Path(save).write_text(json.dumps(loader.state_dict()))


def _numbered(values: dict[str, Any]) -> dict[Any, Any]:
    """Keys that were numbers before JSON made them texts."""
    return {int(name) if name.isdigit() else name: value for name, value in values.items()}


def _exact(batches: Batches) -> str:
    num_exact = 0
    for batch in batches:
        movies = Counter(clip // SIZES.clips_per_movie for clip in set(batch))
        num_exact += sorted(movies.values()) == [CLIPS] * MOVIES
    return "yes" if num_exact == len(batches) else f"no: {num_exact} of {len(batches)} batches"


def _once(batches: Batches) -> str:
    seen = Counter(clip for batch in batches for clip in batch)
    num_twice = sum(count > 1 for count in seen.values())
    num_missing = SIZES.num_clips - len(seen)
    is_kept = not num_twice and not num_missing
    return (
        "yes" if is_kept else f"no: {num_twice} twice, {num_missing} missing of {SIZES.num_clips}"
    )


def _equal(found: Batches, expected: Batches) -> str:
    pairs = zip(found, expected, strict=False)
    num_equal = sum(sorted(one) == sorted(other) for one, other in pairs)
    if num_equal == len(expected) == len(found):
        return "yes"
    return f"no: {num_equal} of {len(expected)} batches are the same, {len(found)} were read"


def page(rows: dict[str, dict[str, str]], versions: dict[str, str]) -> str:
    """The result file."""
    named = ", ".join(f"{name} {text or 'not installed'}" for name, text in versions.items())
    lines = [
        "# Promises, tried",
        "",
        f"`python -m benchmarks.promises`, {datetime.date.today()}; {named}. Every cell is the "
        "outcome of a comparison of lists of clips; the command's own text says which. The peers "
        "run as their guides recommend (`benchmarks/peers.py`), their samples shuffled.",
        "",
        "| | " + " | ".join(PROMISES) + " |",
        "|" + "---|" * (len(PROMISES) + 1),
        *("| " + " | ".join([name, *(row[one] for one in PROMISES)]) + " |"
          for name, row in rows.items()),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
