"""The guarantee of the stream, end to end: one list of global batches for every way of reading.

World sizes, loader workers, restarts at random steps with another world size each time: the
hashes of the global batches are equal.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shards_spec.dataset.reader import Dataset
from tests.support.launch.ranks import start_ranks
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream

POLICY = BatchPolicy(movies_per_batch=8, clips_per_movie=2, reads_per_movie=2)
NUM_STEPS = 18


@pytest.fixture(scope="module")
def dataset(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Twelve movies; epochs of about 7 steps."""
    sizes = (8, 14, 10, 12, 9, 11, 8, 13, 10, 10, 9, 12)
    folder = str(tmp_path_factory.mktemp("same"))
    return make_toy_dataset(folder, num_movies=12, clips_per_movie=sizes, shard_bytes=30_000)


def config(num_processes: int) -> StreamConfig:
    return StreamConfig(frame_size=16, num_processes=num_processes, num_threads=2)


def digest(parts: list[Batch]) -> str:
    """Hash of a global batch, from the parts of its ranks in order."""
    total = hashlib.sha256(f"{parts[0].epoch}/{parts[0].step}".encode())
    for name in ("clip", "group", "movie", "start_ns", "frames", "logmel"):
        total.update(torch.cat([getattr(part, name) for part in parts]).numpy().tobytes())
    return total.hexdigest()


def read(
    dataset: Dataset, world_size: int, num_processes: int, place: tuple[int, int], num: int
) -> tuple[list[str], tuple[int, int]]:
    """Hashes of `num` global batches from a position on, and the position after them."""
    streams = [
        ClipStream(
            dataset,
            POLICY,
            config(num_processes),
            seed=3,
            rank=rank,
            world_size=world_size,
            epoch=place[0],
            step=place[1],
        )
        for rank in range(world_size)
    ]
    try:
        found = [digest([next(stream) for stream in streams]) for _ in range(num)]
        states = [stream.state() for stream in streams]
    finally:
        for stream in streams:
            stream.close()
    assert all(state == states[0] for state in states), "every rank saves the same"
    return found, (states[0].epoch, states[0].step)


@pytest.fixture(scope="module")
def straight(dataset: Dataset) -> list[str]:
    """One rank, no loader worker, no interruption."""
    return read(dataset, 1, 0, (0, 0), NUM_STEPS)[0]


@pytest.mark.parametrize(("world_size", "num_processes"), [(2, 0), (4, 0), (8, 0), (1, 1), (2, 1)])
def test_world_size_and_processes_change_nothing(
    dataset: Dataset, straight: list[str], world_size: int, num_processes: int
) -> None:
    assert read(dataset, world_size, num_processes, (0, 0), NUM_STEPS)[0] == straight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world_size", "num_processes"), [(4, 1), (8, 1), (1, 4), (2, 4), (4, 4), (8, 4)]
)
def test_larger_world_sizes_with_more_processes(
    dataset: Dataset, straight: list[str], world_size: int, num_processes: int
) -> None:
    assert read(dataset, world_size, num_processes, (0, 0), NUM_STEPS)[0] == straight


def test_stops_at_random_steps_with_other_world_sizes(
    dataset: Dataset, straight: list[str]
) -> None:
    generator = random.Random(11)
    place, found, world_sizes = (0, 0), list[str](), list[int]()
    while len(found) < NUM_STEPS:
        world_size = generator.choice([w for w in (1, 2, 4, 8) if w not in world_sizes[-1:]])
        num = min(generator.randint(1, 4), NUM_STEPS - len(found))
        hashes, place = read(dataset, world_size, 0, place, num)
        found += hashes
        world_sizes.append(world_size)
    assert found == straight
    assert len(world_sizes) > 4


_RANK = """
import json, sys, time
from pathlib import Path
import torch, torch.distributed as dist
torch.set_num_threads(1)
from shards_spec.dataset.reader import open_dataset
from trainer.data.plan.position import PlanState
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.stream import ClipStream
from trainer.data.loader.config import StreamConfig
uri, out, policy, processes, pause = sys.argv[1:6]
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
policy, out = BatchPolicy.from_json(json.loads(policy)), Path(out)
data = open_dataset(uri)
state = PlanState(epoch=0, step=0, seed=3, index_fingerprint=data.fingerprint, policy=policy)
if (out / "state.json").exists():
    saved = PlanState.from_json(json.loads((out / "state.json").read_text()))
    saved.check(state)
    state = saved
config = StreamConfig(frame_size=16, num_processes=int(processes), num_threads=2)
with ClipStream(data, policy, config, seed=3, rank=rank, world_size=size,
                epoch=state.epoch, step=state.step) as stream:
    for batch in stream:
        parts = [None] * size
        dist.all_gather_object(parts, batch)
        states = [None] * size
        dist.all_gather_object(states, stream.state().to_json())
        assert all(one == states[0] for one in states)
        if rank == 0:
            import hashlib
            total = hashlib.sha256(f"{batch.epoch}/{batch.step}".encode())
            for name in ("clip", "group", "movie", "start_ns", "frames", "logmel"):
                whole = torch.cat([getattr(part, name) for part in parts])
                total.update(whole.numpy().tobytes())
            with (out / "hashes").open("a") as file:
                file.write(f"{batch.epoch} {batch.step} {total.hexdigest()}\\n")
            (out / "state.part").write_text(json.dumps(states[0]))
            (out / "state.part").replace(out / "state.json")
        time.sleep(float(pause))
"""


def launch(
    dataset: Dataset, out: Path, world_size: int, num_processes: int, num_steps: int
) -> list[int]:
    """Start ranks, kill all with SIGKILL after this many steps, and return their exit codes."""
    before = num_lines(out)
    arguments = [dataset.storage.uri, str(out), json.dumps(POLICY.to_json()), str(num_processes)]
    words = ["-c", _RANK, *arguments, "0.05"]
    ranks = start_ranks(words, world_size, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while num_lines(out) < before + num_steps and time.monotonic() < until:
        time.sleep(0.02)
    for rank in ranks:
        rank.kill()
    return [rank.wait() for rank in ranks]


def num_lines(out: Path) -> int:
    path = out / "hashes"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill_and_resume(
    dataset: Dataset, folder: Path, launches: list[tuple[int, int, int]]
) -> list[str]:
    """Hashes of the global batches over launches of (world size, loader workers, steps). Each
    launch is killed, and the next one resumes from there."""
    for world_size, num_processes, num_steps in launches:
        codes = launch(dataset, folder, world_size, num_processes, num_steps)
        assert codes == [-signal.SIGKILL] * world_size
    seen: dict[tuple[int, int], str] = {}
    for line in (folder / "hashes").read_text().splitlines():
        epoch, step, found = line.split()
        # Steps after the last saved state may be repeated, and must then be the same.
        assert seen.setdefault((int(epoch), int(step)), found) == found
    assert np.all(np.diff([epoch for epoch, _ in sorted(seen)]) >= 0)
    return [seen[place] for place in sorted(seen)]


@pytest.mark.slow
def test_killed_ranks_resume_with_another_world_size(
    dataset: Dataset, straight: list[str], tmp_path: Path
) -> None:
    found = kill_and_resume(dataset, tmp_path, [(1, 0, 2), (2, 1, 3)])
    assert len(found) >= 4
    num = min(len(found), NUM_STEPS)
    assert found[:num] == straight[:num]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_ten_random_steps_with_another_world_size_each_time(
    dataset: Dataset, tmp_path: Path
) -> None:
    generator = random.Random(18)
    launches: list[tuple[int, int, int]] = []
    for _ in range(10):
        world_sizes = [size for size in (1, 2, 4, 8) if not launches or size != launches[-1][0]]
        # Every rank has its own loader workers: at most eight at once.
        world_size = generator.choice(world_sizes)
        processes = generator.choice([n for n in (0, 1, 4) if n * world_size <= 8])
        launches.append((world_size, processes, generator.randint(1, 4)))
    assert {size for size, _, _ in launches} == {1, 2, 4, 8}
    found = kill_and_resume(dataset, tmp_path, launches)
    assert len(found) >= 10
    assert found == read(dataset, 1, 0, (0, 0), len(found))[0]
