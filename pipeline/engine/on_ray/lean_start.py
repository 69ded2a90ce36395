"""Starts Ray without what a run on one machine has no use for.

Much of it costs as much CPU time as half a minute of video, and some of it polls:

- the log monitor (logs are not shown), the autoscaler's monitor (there is nothing to scale) and the
  dashboard's server;
- the two agents of the node. One exports metrics, at a port that only the dashboard would make
  known, the other installs packages for tasks that ask for them. Ray's raylet ends when an agent
  ends, and waits until they have written the ports at which they listen. Here these ports are
  written as unused, as Ray does without its extra `default`, and processes that only wait take the
  places of the agents;
- a second interpreter for each worker, see `worker_entry`;
- support for values of packages that the tasks of a run do not exchange (pydantic, starlette).

Ray has no public options for them. Nothing here concerns a cluster that somebody else started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

#: Ray's native part, which has no stubs.
_raylet: Any = import_module("ray._raylet")

_WORKER_ENTRY = Path(__file__).with_name("worker_entry.py")

_METRICS, _PACKAGES = "--dashboard_agent_command=", "--runtime_env_agent_command="
#: Options of the raylet that start agents, and the ports that these would write.
_AGENT_PORTS = {
    _METRICS: (
        _raylet.METRICS_AGENT_PORT_NAME,
        _raylet.METRICS_EXPORT_PORT_NAME,
        _raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME,
    ),
    _PACKAGES: (_raylet.RUNTIME_ENV_AGENT_PORT_NAME,),
}
_UNUSED = -1
#: A switch of Ray: agents read from a pipe that ends with the raylet.
_AGENTS_HAVE_PIPE = {"RAY_enable_pipe_based_agent_to_parent_health_check": "1"}


@contextlib.contextmanager
def only_needed() -> Iterator[None]:
    """Inside, `ray.init` starts a node of this machine with what a run needs."""
    parameter: Any = import_module("ray._private.parameter")
    services: Any = import_module("ray._private.services")
    utils: Any = import_module("ray._private.utils")
    addons: Any = import_module("ray.util.serialization_addons")
    ray_parameters = partial(
        parameter.RayParams,
        include_log_monitor=False,
        no_monitor=True,
        setup_worker_path=str(_WORKER_ENTRY),
    )
    changes: list[tuple[Any, str, Any]] = [
        (parameter, "RayParams", ray_parameters),
        (services, "start_api_server", lambda *args, **options: ("", None)),
        (services, "start_ray_process", partial(_start_process, services.start_ray_process)),
        # It would import a web server, to find out whether there is one.
        (utils, "get_dashboard_dependency_error", lambda: ImportError("not needed")),
        (addons, "apply", lambda context: None),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
        if ray.is_initialized():
            # Ray would make it, with the addons, when it serializes the first value.
            worker: Any = ray_worker.global_worker
            worker.get_serialization_context()
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _start_process(
    start: Any, command: list[str], process_type: str, *arguments: Any, **options: Any
) -> Any:
    """Ray's function `start`, for a raylet without agents."""
    if process_type == ray_constants.PROCESS_TYPE_RAYLET:
        command = without_agents(command)
        options["env_updates"] = {**(options.get("env_updates") or {}), **_AGENTS_HAVE_PIPE}
    return start(command, process_type, *arguments, **options)


def without_agents(command: list[str]) -> list[str]:
    """A raylet's command in which processes that only wait take the places of its agents.

    The agent for packages stays where Ray may need it: when the driver runs under `uv run` or as a
    job of Ray, or with Ray's hook for such environments. Writes the files of the ports.
    """
    values = dict(part.removeprefix("--").split("=", 1) for part in command if "=" in part)
    wait = shutil.which("cat")
    if wait is None:
        return command
    replaced = [_METRICS] if _may_install_packages() else [_METRICS, _PACKAGES]
    for option in replaced:
        for port in _AGENT_PORTS[option]:
            _raylet.persist_port(values["session_dir"], values["node_id"], port, _UNUSED)
    waits = {option: option + subprocess.list2cmdline([wait]) for option in replaced}
    return [waits.get(part.partition("=")[0] + "=", part) for part in command]


def _may_install_packages() -> bool:
    under_uv: Any = import_module("ray._private.runtime_env.uv_runtime_env_hook")
    variables = (RAY_JOB_CONFIG_JSON_ENV_VAR, ray_constants.RAY_RUNTIME_ENV_HOOK)
    return any(name in os.environ for name in variables) or bool(under_uv._get_uv_run_cmdline())
