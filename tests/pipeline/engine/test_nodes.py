"""Runs on clusters of several Ray nodes whose parts are killed: the bytes stay the same.

The nodes are real raylets on this machine. Killed with -9, at moments drawn from a seeded
generator: workers, ffmpeg processes and whole nodes; a lost node is replaced by a new one.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.exceptions import RayTaskError

from pipeline.__main__ import main
from pipeline.config import RunConfig
from pipeline.engine import tasks
from pipeline.engine.on_ray.ray_failures import task_error
from pipeline.errors import LostError
from pipeline.movie import steps
from pipeline.movie.rows import Cost
from pipeline.movie.spool import AUDIO_PART
from pipeline.plan.movie_plan import Segment
from pipeline.sources.corpus import find_movies
from pipeline.video.segment import VideoSegment
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.recipe import Recipe
from shards_spec.schema.tables import movie_rows
from shards_spec.storage.storage import Storage
from tests.support.datasets.outcome import digests, programs_on
from tests.support.films.media import Film, make_film
from tests.support.films.opened import opened, source_of
from tests.support.films.oracle import decoded_audio
from tests.support.stores.saboteur import Saboteur

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3", "--segment-seconds", "3"]
#: For a run of half a minute; on a busy machine it takes longer.
PATIENCE_SECONDS = 400
PATIENT = ["--retry-seconds", "0.05", "--max-attempts", "40"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(4):
        make_film(folder / f"{number}.mp4", Film(seconds=16 + number, gop=25))
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one CPU, and another node with one CPU."""
    with pytest.MonkeyPatch.context() as patch:
        # Left in /tmp/ray, the address would draw other programs of this machine to this cluster.
        patch.setattr("ray._private.utils.write_ray_address", lambda address: None)
        found = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
    # The driver joins the node that it finds first: it must be the head, which is never lost.
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    found.add_node(num_cpus=1)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def whole(corpus: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    assert preprocess(corpus, out) == 0
    return out


def preprocess(corpus: Path, out: Path) -> int:
    return main(["preprocess", str(corpus), "--out", str(out), *SMALL, *PATIENT])


def run_disturbed(corpus: Path, out: Path, saboteur: Saboteur, kinds: list[str]) -> None:
    """One run, with kills while it lasts."""
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(preprocess, corpus, out)
        for kind in kinds:
            time.sleep(saboteur._random.uniform(0.2, 1.2))
            # Between two tasks there may be nothing to kill.
            while not run.done() and not saboteur.strike(kind):
                time.sleep(0.02)
            if run.done():
                break
        assert run.result(timeout=PATIENCE_SECONDS) == 0


def require_clean(corpus: Path, out: Path, whole: Path) -> None:
    """Same bytes, no orphaned processes, no temporary files."""
    assert digests(out) == digests(whole)
    deadline = time.monotonic() + 60
    while left := programs_on(corpus):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    report = validate(str(out))
    assert report.ok
    names = {path.name for path in out.iterdir()}
    cards = {"README.md", "croissant.json"}
    assert names == {"commits", "dataset.json", "index", "run.json", "shards"} | cards


@pytest.mark.slow
def test_a_few_kills_change_no_byte(
    corpus: Path, cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    saboteur = Saboteur(cluster, seed=1)
    run_disturbed(corpus, tmp_path, saboteur, ["ffmpeg", "worker", "node", "worker"])
    assert saboteur.killed.total() >= 2
    require_clean(corpus, tmp_path, whole)


@pytest.mark.slow
def test_a_write_names_the_parts_that_were_lost_with_a_node(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Only these are decoded again."""
    film = make_film(tmp_path / "a.mp4", Film(seconds=8, gop=25))
    (movie,) = find_movies(str(film))
    recipe = Recipe(short_side=160, num_frames=8, fps=10.0, jpeg_quality=98)
    plan = steps.prepare(movie, opened(movie), recipe, 4.0)
    first, second = plan.segments
    options = tasks.TaskOptions(RunConfig())
    doomed = cluster.add_node(num_cpus=1, resources={"doomed": 1})

    def decoded(part: Segment, where: dict[str, float]) -> tuple[VideoSegment, Any]:
        task: Any = tasks.segment
        done, data = task.options(resources=where).remote(plan, part, options)
        return ray.get(done).value, data

    found = [decoded(first, {}), decoded(second, {"doomed": 1})]
    # Smaller results are returned inline and stored in the driver.
    assert steps.run_segment(plan, second, source_of(plan))[1].nbytes > 100_000
    sound, data = decoded_audio(plan)
    parts = {AUDIO_PART: [ray.put(data)], **{s.number: [ref] for s, ref in found}}
    cluster.remove_node(doomed, allow_graceful=False)
    cost, out = Cost(1, 0.0, 0.0), Storage(str(tmp_path))
    write: Any = tasks.write
    with pytest.raises(RayTaskError) as caught:
        ray.get(write.remote(plan, out, cost, sound, [s for s, _ in found], parts, 0))
    error = task_error(movie, caught.value)
    assert isinstance(error, LostError)
    assert error.parts == (second.number,)


@contextlib.contextmanager
def every_cpu_taken(cluster: Cluster) -> Iterator[None]:
    """No task of a run can start on the nodes that the cluster has now."""
    taken: Any = ray.remote(num_cpus=1)(Idle)
    actors = [taken.remote() for _ in range(int(ray.cluster_resources()["CPU"]))]
    ray.get([actor.ready.remote() for actor in actors], timeout=PATIENCE_SECONDS)
    try:
        yield
    finally:
        for actor in actors:
            ray.kill(actor)


class Idle:
    """An actor that does nothing but keep its CPU."""

    def ready(self) -> bool:
        return True


@pytest.mark.slow
def test_an_added_node_is_used(corpus: Path, cluster: Cluster, whole: Path, tmp_path: Path) -> None:
    """Its CPU is the only free one: a run that ends has used it."""
    with every_cpu_taken(cluster), ThreadPoolExecutor(1) as pool:
        run = pool.submit(preprocess, corpus, tmp_path)
        while not list(tmp_path.glob("run.json")):
            assert not run.done()
            time.sleep(0.01)
        node = cluster.add_node(num_cpus=1)
        assert run.result(timeout=PATIENCE_SECONDS) == 0
    cluster.remove_node(node)
    require_clean(corpus, tmp_path, whole)


def wait_until_busy(node: Any, run: Future[int]) -> None:
    """Wait until a node runs a task."""
    while not run.done():
        free: dict[str, Any] = ray._private.state.available_resources_per_node()
        if node.node_id in free and free[node.node_id].get("CPU", 0) < 1:
            return
        time.sleep(0.02)


def drain(cluster: Cluster, node: Any, seconds: float) -> None:
    """What an autoscaler does when a spot node is to be reclaimed in this many seconds."""
    client = ray._raylet.GcsClient(address=cluster.address)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + seconds) * 1000)
    accepted, message = client.drain_node(node.node_id, reason, "preempted", deadline_ms)
    assert accepted, message


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lost_or_drained_node_does_not_cost_an_attempt(
    corpus: Path, cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    """With one attempt per task, movies would be missing if it did."""
    num_lost = 0
    # A task can succeed although its node is removed, and a run too: repeat until one is lost.
    for number in range(8):
        log, out = tmp_path / f"{number}.jsonl", tmp_path / str(number)
        options = ["--max-attempts", "1", "--log-json", str(log)]
        with ThreadPoolExecutor(1) as pool:
            once = ["preprocess", str(corpus), "--out", str(out), *SMALL, *options]
            run = pool.submit(main, once)
            lose_nodes(cluster, run)
            assert run.result(timeout=PATIENCE_SECONDS) == 0
        rows = movie_rows(open_dataset(str(out)).movies)
        assert [row.attempts for row in rows] == [1] * 4
        require_clean(corpus, out, whole)
        num_lost += lost_attempts(log)
        if num_lost and number:
            break
    assert num_lost >= 1


def lose_nodes(cluster: Cluster, run: Future[int]) -> None:
    """Remove the busy node, with and without warning, as long as the run lasts."""
    for number in range(6):
        node = sorted(cluster.worker_nodes, key=lambda node: node.node_id)[-1]
        wait_until_busy(node, run)
        if run.done():
            return
        if number % 2 == 1:
            drain(cluster, node, 0.1)
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)


def lost_attempts(log: Path) -> int:
    """Tasks of a run that were lost with a node."""
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(json.loads(line).get("error_class") == "lost" for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_kills_change_no_byte(
    corpus: Path, cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    saboteur = Saboteur(cluster, seed=2)
    number = 0
    while saboteur.killed.total() < 12 or len(saboteur.killed) < 3:
        out = tmp_path / str(number)
        kinds = saboteur._random.choices(["ffmpeg", "worker", "node"], [4, 4, 2], k=8)
        run_disturbed(corpus, out, saboteur, kinds)
        require_clean(corpus, out, whole)
        number += 1
        assert number < 20, saboteur.killed
    print(number, saboteur.killed, threading.active_count())
