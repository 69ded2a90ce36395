"""A run on an existing Ray cluster: with `--address`, and as a Ray job."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from ray.job_submission import JobStatus, JobSubmissionClient

from shards_spec.dataset.validation.validator import validate
from tests.support.films.media import Film, make_film

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[3]
SMALL = ["--short-side", "32", "--num-frames", "8"]
#: More movies than a fast machine processes in the time that it takes to stop it twice.
NUM_LONG = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        make_film(folder / f"{number}.mp4", Film(seconds=6))
    return folder


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough movies that some remain when the first is done."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(NUM_LONG):
        make_film(folder / f"{number}.mp4", Film(seconds=7, width=96, height=64))
    return folder


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A head with one CPU on free ports; with the job server if the parameter is set."""
    arguments = {"num_cpus": 1, "include_dashboard": request.param, "dashboard_port": 0}
    # Another Ray may use the default port; port 0 disables it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        arguments["dashboard_agent_listen_port"] = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        # As in our manifest; otherwise the job server kills a driver after 3 s.
        patch.setenv("RAY_JOB_STOP_WAIT_TIME_S", "90")
        # Left in /tmp/ray, the address would draw other programs of this machine to this cluster.
        patch.setattr("ray._private.utils.write_ray_address", lambda address: None)
        found = Cluster(initialize_head=True, head_node_args=arguments)
    yield found
    found.shutdown()


def command(corpus: Path, out: Path, address: str) -> list[str]:
    words = ["preprocess", str(corpus), "--out", str(out), *SMALL, "--address", address]
    return [sys.executable, "-m", "pipeline", *words]


def require_done(out: Path) -> None:
    report = validate(str(out))
    assert report.ok
    assert len(list((out / "commits").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [False], indirect=True)
def test_a_run_joins_a_cluster_and_leaves_it_up(
    cluster: Cluster, corpus: Path, tmp_path: Path
) -> None:
    words = command(corpus, tmp_path, cluster.address)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    require_done(tmp_path)
    assert cluster.head_node.remaining_processes_alive()


def submitted(client: JobSubmissionClient, entry: str) -> str:
    """A job's id. As in an image, the package is already installed; nothing is uploaded."""
    environment = {"env_vars": {"PYTHONPATH": os.fspath(ROOT)}}
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.submit_job(entrypoint=entry, runtime_env=environment)
        except RuntimeError as error:
            # The node's agent starts after the server.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [True], indirect=True)
def test_a_run_as_a_ray_job(cluster: Cluster, corpus: Path, tmp_path: Path) -> None:
    client = JobSubmissionClient(f"http://{cluster.webui_url}")
    entry = subprocess.list2cmdline(command(corpus, tmp_path, "auto"))
    job = submitted(client, entry)
    assert ended(client, job) == JobStatus.SUCCEEDED, client.get_job_logs(job)
    require_done(tmp_path)


def ended(client: JobSubmissionClient, job: str) -> JobStatus:
    """How a job ended."""
    deadline = time.monotonic() + 200
    while not (status := client.get_job_status(job)).is_terminal():
        assert time.monotonic() < deadline, client.get_job_logs(job)
        time.sleep(0.5)
    return status


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [True], indirect=True)
def test_a_ray_job_is_drained_by_the_hook_and_by_a_stop(
    cluster: Cluster, long_corpus: Path, tmp_path: Path
) -> None:
    """The effect of a pod's end and of `ray job stop`; the job server waits as in a pod."""
    client = JobSubmissionClient(f"http://{cluster.webui_url}")
    words = command(long_corpus, tmp_path, cluster.address)
    before = 0
    for how in ("hook", "stop"):
        job = submitted(client, subprocess.list2cmdline(words))
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("commits/*"))) <= before:
            assert time.monotonic() < deadline, client.get_job_logs(job)
            time.sleep(0.01)
        if how == "hook":
            hook = [sys.executable, "-m", "pipeline", "drain", str(tmp_path)]
            assert subprocess.run(hook, cwd=ROOT, timeout=500, check=False).returncode == 0
            assert ended(client, job) == JobStatus.FAILED
            assert "stopped on request" in client.get_job_logs(job)
        else:
            client.stop_job(job)
            assert ended(client, job) == JobStatus.STOPPED
        assert json.loads((tmp_path / "run.json").read_text())["state"] == "drained"
        assert not list(tmp_path.glob("run.lock/*"))
        before = len(list(tmp_path.glob("commits/*")))
        assert 1 <= before < NUM_LONG
    job = submitted(client, subprocess.list2cmdline(words))
    assert ended(client, job) == JobStatus.SUCCEEDED, client.get_job_logs(job)
    assert validate(str(tmp_path)).ok
    assert len(list(tmp_path.glob("commits/*"))) == NUM_LONG
