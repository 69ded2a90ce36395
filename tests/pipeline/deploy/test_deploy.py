"""The files for clusters: each is checked with the program that reads it, where that runs here."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

import pipeline.__main__ as commands
from pipeline.config import RunConfig
from pipeline.limits import GIB
from pipeline.run import drain
from shards_spec.cli import Command, parse
from tests.support.launch import kuberay

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "pipeline" / "deploy"
#: Path of the head's pod in the manifest.
HEAD = "spec.rayClusterSpec.headGroupSpec.template.spec"


def parsed(command: str) -> Command:
    """A shell command as parsed by our own command line."""
    program, *words = shlex.split(command)
    assert (program, words[:2]) == ("python", ["-m", "pipeline"])
    return parse(commands.COMMANDS, words[2:], prog="pipeline", description="")


def cluster_config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    return config


def test_ray_accepts_the_cluster_file() -> None:
    config = prepare_config(cluster_config())
    validate_config(config)
    kinds = config["available_node_types"]
    # The autoscaler only starts nodes on which a task fits; the head runs no tasks.
    worker = kinds["worker"]["resources"]
    assert worker["CPU"] >= 1
    assert worker["memory"] >= worker["CPU"] * RunConfig().task_memory_gib * GIB
    assert kinds[config["head_node_type"]]["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in kinds["head"]["node_config"]


def test_ray_rejects_a_cluster_file_with_a_mistake() -> None:
    """So that the test above can fail."""
    config = cluster_config()
    worker = config["available_node_types"]["worker"]
    worker["min_worker"] = worker.pop("min_workers")
    with pytest.raises(Exception, match="min_worker"):
        validate_config(prepare_config(config))


def test_the_commands_of_the_cluster_file_start_ray() -> None:
    config = cluster_config()
    import ray.scripts.scripts as ray_cli

    for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
        program, verb, *options = shlex.split(line)
        assert program == "ray"
        # Only parsed: click raises for an option that Ray does not have.
        ray_cli.cli.commands[verb].make_context(verb, options)


def job_manifest() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    return job


def manifest_errors(job: dict[str, Any]) -> list[str]:
    """Errors that KubeRay and Kubernetes would report."""
    found = [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(kuberay.RAYJOB).iter_errors(job)
    ]
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        found += kuberay.kubernetes_errors(group["template"], "V1PodTemplateSpec", "template")
    options = cluster["autoscalerOptions"]
    found += kuberay.kubernetes_errors(
        options["securityContext"], "V1SecurityContext", "autoscaler"
    )
    return found


def test_kuberay_accepts_the_job_manifest() -> None:
    job = job_manifest()
    assert manifest_errors(job) == []
    # Rules of the operator that are not in any schema.
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec["shutdownAfterJobFinishes"] or not spec["ttlSecondsAfterFinished"]
    assert cluster["authOptions"]["mode"] == "token"
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"].get("restartPolicy", "Never") == "Never"
        assert "labels" not in group["rayStartParams"]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("spec.shutdownAfterJobFinish", True, "shutdownAfterJobFinish"),
        ("spec.submissionMode", "K8SJobMode", "K8SJobMode"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.minReplica", 1, "minReplica"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0, "0 is not of type"),
        (f"{HEAD}.terminationGraceSeconds", 9, "V1PodSpec has no terminationGraceSeconds"),
        (f"{HEAD}.terminationGracePeriodSeconds", "90", "'90' is not of type int"),
        (f"{HEAD}.containers.0.securityContext.runAsNonRoot", "yes", "'yes' is not of type bool"),
        (f"{HEAD}.containers.0.lifecycle.preStop.exec.command", "true", "'true' is not a list"),
        (f"{HEAD}.containers.0.env.0.name", None, "Field required"),
    ],
)
def test_a_mistake_in_the_job_manifest_is_found(place: str, value: object, said: str) -> None:
    """So that the test above can fail."""
    job = job_manifest()
    *way, last = place.split(".")
    part: Any = job
    for word in way:
        part = part[int(word)] if isinstance(part, list) else part[word]
    if value is None:
        del part[last]
    else:
        part[last] = value
    assert any(said in error for error in manifest_errors(job)), manifest_errors(job)


def test_no_container_of_the_job_is_privileged() -> None:
    cluster = job_manifest()["spec"]["rayClusterSpec"]
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    containers = [c for group in groups for c in group["template"]["spec"]["containers"]]
    (user,) = re.findall(r"^USER (.+)$", dockerfile(), re.M)
    for container in (cluster["autoscalerOptions"], *containers):
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        # Kubernetes can only check that a user is not root if it is given as a number.
        assert context["runAsUser"] == int(user) > 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    workers = cluster["workerGroupSpecs"][0]["template"]["spec"]
    assert workers["automountServiceAccountToken"] is False


def test_the_job_manifest_runs_our_command() -> None:
    job = job_manifest()
    command = parsed(job["spec"]["entrypoint"])
    assert isinstance(command, commands.Preprocess)
    assert command.run_config.address == "auto"
    cluster = job["spec"]["rayClusterSpec"]
    (pinned,) = re.findall(
        r"^ray(?:\[\w+\])?==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M
    )
    assert cluster["rayVersion"] == pinned == ray.__version__
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    # A terminating pod drains the run first, and so does a stopped job.
    pod = head["template"]["spec"]
    (container,) = pod["containers"]
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["python", "-m", "pipeline", "drain"]
    env = {item["name"]: item["value"] for item in container["env"]}
    wait = int(env["RAY_JOB_STOP_WAIT_TIME_S"])
    assert RunConfig().drain_seconds < drain.WAIT_SECONDS <= wait
    assert wait < pod["terminationGracePeriodSeconds"]
    supervisor = Path(ray.__file__).parent / "dashboard/modules/job/job_supervisor.py"
    assert '"RAY_JOB_STOP_WAIT_TIME_S"' in supervisor.read_text()


def test_the_workers_of_the_job_have_room_for_copies() -> None:
    spec = job_manifest()["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    (container,) = spec["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    assert {"name": "TMPDIR", "value": mount["mountPath"]} in container["env"]
    size = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
    disk = int(container["resources"]["limits"]["ephemeral-storage"].removesuffix("Gi"))
    assert RunConfig().stage_gib < size < disk


def test_the_image_copies_existing_files_that_the_package_needs() -> None:
    copied = set()
    for words in re.findall(r"^COPY (.+)$", dockerfile(), re.M):
        *sources, _ = words.split()
        copied |= set(sources)
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= copied
    assert {"pipeline", "shards_spec"} <= copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    (constraints,) = re.findall(r"pip install \S+ -c (\S+) ", dockerfile())
    assert constraints in copied
    (extra,) = re.findall(r"'\.\[(\w+)\]'", dockerfile())
    assert extra in project["optional-dependencies"]


def test_the_commands_of_the_image_exist(capsys: pytest.CaptureFixture[str]) -> None:
    (last,) = re.findall(r"^CMD (.+)$", dockerfile(), re.M)
    with pytest.raises(SystemExit) as left:
        parsed(shlex.join(json.loads(last)))
    assert left.value.code == 0
    assert "preprocess" in capsys.readouterr().out
    (code,) = re.findall(r'python -c "([^"]+)"', dockerfile())
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(callable(getattr(module, name.name)) for name in node.names)


def test_the_image_has_a_supported_python() -> None:
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-", dockerfile(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_the_driver_script_becomes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: seen.append(words))
    monkeypatch.setattr(sys, "argv", ["run.py", "s3://movies", "s3://shards", "--stage-gib", "50"])
    runpy.run_path(str(DEPLOY / "run.py"), run_name="__main__")
    python, dash_m, module, *words = seen[0]
    assert (python, dash_m, module) == (sys.executable, "-m", "pipeline")
    command = parse(commands.COMMANDS, words, prog="pipeline", description="")
    assert isinstance(command, commands.Preprocess)
    assert (command.corpus, command.out) == ("s3://movies", "s3://shards")
    assert (command.run_config.address, command.run_config.stage_gib) == ("auto", 50.0)


def test_the_dashboard_is_complete() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["targets"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, f"{panel['title']} covers another panel"
        cells |= mine


def test_ray_metrics_of_the_dashboard_exist() -> None:
    """Ray prefixes its metrics with `ray_`; ours are tested in `test_operations`."""
    asked = set(re.findall(r"ray_(?!reelshards_)(\w+)", (DEPLOY / "grafana.json").read_text()))
    folder = Path(ray.__file__).parent / "dashboard" / "modules"
    known = "".join(path.read_text() for path in folder.rglob("*.py"))
    assert asked
    assert {name for name in asked if f'"{name}"' not in known} == set()


def dockerfile() -> str:
    """Its text, with continued lines joined."""
    return re.sub(r"\\\n(?:\s*#.*\n)*", " ", (DEPLOY / "Dockerfile").read_text())
