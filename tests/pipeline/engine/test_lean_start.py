"""A local Ray starts only the processes and modules that a run needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private import ray_constants, services
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from pipeline.engine.on_ray import cluster, lean_start
from pipeline.engine.on_ray.worker_entry import command_of

#: Prints the processes of a local Ray, what its worker and the driver have loaded, whether the
#: driver's Ray is as before, and what is left after the raylet was killed.
_SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
import ray
from ray._private import parameter, services, utils
from ray.util import serialization_addons
from pipeline.config import RunConfig
from pipeline.engine.on_ray import cluster
from tests.pipeline.engine.test_private_ray import below

def settings():
    return (parameter.RayParams, services.start_api_server, services.start_ray_process,
            utils.get_dashboard_dependency_error, serialization_addons.apply)

def command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\\0")[0].decode()

@ray.remote(num_cpus=1)
def worker():
    return sys.argv[0], sorted(sys.modules), open("/proc/self/stat").read().split()[3]

before = settings()
cluster.start_ray(RunConfig(workers=1))
script, modules, parent = ray.get(worker.remote())
found = below(os.getpid())
# A worker is named after its task for a moment after its end.
names = sorted(Path(command(pid)).name.partition("::")[0] for pid in found)
(raylet,) = [pid for pid in found if command(pid).endswith("/raylet")]
is_as_before = settings() == before
ray.put([before[0], {}])
loaded = sorted(sys.modules)
os.kill(raylet, signal.SIGKILL)
deadline = time.monotonic() + 60
waiting = [pid for pid in found if command(pid).endswith("/cat")]
while left := [pid for pid in waiting if os.path.exists(f"/proc/{pid}")]:
    if time.monotonic() > deadline:
        break
    time.sleep(0.05)
print(json.dumps({"names": names, "script": script, "modules": modules, "loaded": loaded,
                  "is_child": int(parent) == raylet, "as_before": is_as_before, "left": left}))
sys.stdout.flush()
for pid in found:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
os._exit(0)
"""

#: What Ray gets instead of a package becomes it, for Ray alone.
_LIGHT = """
import gc, sys
from pipeline.engine.on_ray.light_ray import import_ray
ray = import_ray()
print("absent" if not {"requests", "jsonschema", "yaml"} & set(sys.modules) else "present")
print(gc.isenabled())
from ray._private import label_utils
from ray._private.accelerators import tpu
try:
    raise tpu.requests.exceptions.RequestException
except tpu.requests.RequestException as error:
    print(type(error).__name__)
print(label_utils.yaml.safe_load("1.1"))
import requests
print(requests.get is tpu.requests.get and import_ray() is ray)
"""

_NODE = "ab" * 28
_RAYLET = [
    "raylet",
    f"--node_id={_NODE}",
    "--session_dir=FOLDER",
    "--labels=",
    "--head",
    "--dashboard_agent_command=python agent.py --port=1",
    "--runtime_env_agent_command=python main.py --port=2",
]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_local_ray_has_one_interpreter_for_each_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["names"] == ["cat", "cat", "gcs_server", "ray", "raylet"]
    assert found["script"].endswith("default_worker.py")
    assert found["is_child"]
    for modules in (found["modules"], found["loaded"]):
        assert not {"pydantic", "starlette", "aiohttp", "pyarrow.json"} & set(modules)
    assert not {"requests", "jsonschema", "yaml"} & set(found["modules"])
    assert found["as_before"]
    assert found["left"] == [], "processes outlive the raylet"


def test_what_ray_seldom_needs_is_imported_on_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["absent", "True", "RequestException", "1.1", "True"], done.stderr


def test_workers_import_nothing_of_the_driver_or_of_command_lines() -> None:
    code = "import sys, pipeline.engine.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pipeline.movie.steps" in loaded
    assert not {"tyro", "rich", "grpc", "shards_spec.cli", "pyarrow.compute"} & loaded
    assert (
        not {"pipeline.engine.engine", "pipeline.run", "shards_spec.dataset.index.index"} & loaded
    )


def raylet_command(folder: Path) -> list[str]:
    return [part.replace("FOLDER", str(folder)) for part in _RAYLET]


def test_waiting_processes_take_the_places_of_agents(tmp_path: Path) -> None:
    changed = lean_start.without_agents(raylet_command(tmp_path))
    assert changed[:5] == raylet_command(tmp_path)[:5]
    options = [part.partition("=")[0] for part in changed[5:]]
    assert options == ["--dashboard_agent_command", "--runtime_env_agent_command"]
    assert {Path(part.partition("=")[2]).name for part in changed[5:]} == {"cat"}
    ports = {path.name: path.read_text() for path in tmp_path.iterdir()}
    names = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    assert ports == {f"{name}_port_{_NODE}": "-1" for name in names}


@pytest.mark.parametrize(
    "variable", [RAY_JOB_CONFIG_JSON_ENV_VAR, ray_constants.RAY_RUNTIME_ENV_HOOK]
)
def test_where_packages_may_be_installed_their_agent_stays(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "{}")
    changed = lean_start.without_agents(raylet_command(tmp_path))
    assert changed[5].endswith("/cat")
    assert changed[6] == raylet_command(tmp_path)[6]
    assert f"runtime_env_agent_port_{_NODE}" not in {path.name for path in tmp_path.iterdir()}


def test_without_a_program_that_waits_the_agents_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lean_start.without_agents(raylet_command(tmp_path)) == raylet_command(tmp_path)


def test_a_worker_starts_at_once_unless_an_environment_is_to_be_prepared() -> None:
    worker = ["/ray/default_worker.py", "--node-id=ab"]
    plain = ["--language=PYTHON", "--serialized-runtime-env-context={}"]
    assert command_of([*worker, *plain]) == worker
    assert command_of([*worker, plain[0]]) == worker
    for other in (
        [*worker, plain[0], '--serialized-runtime-env-context={"env_vars": {"A": "1"}}'],
        [*worker, "--language=JAVA"],
        ["-s", *worker, *plain],
    ):
        script, *rest = command_of(other)
        assert script.endswith("ray/_private/workers/setup_worker.py")
        assert Path(script).exists()
        assert rest == other


def test_another_release_of_ray_starts_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.__version__", "2.61.0")
    before = services.start_ray_process
    with cluster._lean_start():
        assert services.start_ray_process is before
    monkeypatch.setattr("ray.__version__", "2.60.3")
    with cluster._lean_start():
        assert services.start_ray_process is not before
    assert services.start_ray_process is before
