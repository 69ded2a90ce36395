"""The Ray cluster of a run: connecting, starting, stopping, and its resources."""

from __future__ import annotations

import os
import socket
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

import ray

from pipeline.config import RunConfig
from shards_spec.errors import InputError

_START_ATTEMPTS = 3


def start_ray(config: RunConfig) -> bool:
    """Connect to a cluster, or start Ray on this machine; a running Ray of this process is used.

    Returns whether Ray was started here. Raises `InputError` when that fails.
    """
    if ray.is_initialized():
        return False
    _require_reachable(config.address)
    _require_own_packages(os.getcwd())
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if config.address:
        options["address"] = config.address
    else:
        # "local": never join a cluster that happens to run on this machine.
        options |= {"address": "local", "num_cpus": config.workers or None}
        options["include_dashboard"] = False
    try:
        init_ray(**options)
    except Exception as error:
        where = f"at {config.address!r}" if config.address else "on this machine"
        raise InputError(f"cannot start Ray {where}: {first_line(error)}") from error
    return True


def init_ray(**options: Any) -> None:
    """`ray.init`, repeated when the node's start timed out.

    Ray gives a node 30 s; a busy laptop may need longer. Processes of an attempt that failed end
    with this process.
    """
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            ray.init(**options)
            return
        except Exception as error:
            # Ray raises a plain Exception for a timeout, and others for bad arguments.
            if type(error) is not Exception or attempt == _START_ATTEMPTS:
                raise


def stop_ray() -> None:
    """Disconnect, and stop a local Ray with all its processes."""
    if ray.is_initialized():
        ray.shutdown(wait_for_processes=True)


def num_cpus() -> int:
    """CPUs of the cluster as it is now; at least 1."""
    resources: dict[str, float] = cast(Any, ray).cluster_resources()
    return max(1, int(resources.get("CPU", 1)))


def num_nodes() -> int:
    """Nodes of the cluster that have CPUs for tasks; at least 1."""
    nodes: list[dict[str, Any]] = cast(Any, ray).nodes()
    return max(1, len([n for n in nodes if n["Alive"] and n["Resources"].get("CPU", 0) >= 1]))


def largest_memory() -> int:
    """Task memory of the largest node, bytes; a task that asks for more would wait forever."""
    nodes: list[dict[str, Any]] = cast(Any, ray).nodes()
    return max((int(n["Resources"].get("memory", 0)) for n in nodes if n["Alive"]), default=0)


def live_nodes() -> set[str]:
    """Ids of the nodes that are up."""
    return {str(node["NodeID"]) for node in cast(Any, ray).nodes() if node["Alive"]}


def first_line(error: BaseException) -> str:
    """The message of an exception without a traceback."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _require_own_packages(folder: str) -> None:
    """Raise `InputError` when modules in `folder` hide our packages from Ray's workers.

    Ray puts the driver's working folder in front of the module search path of every worker.
    """
    for name in ("pipeline", "shards_spec"):
        spec = PathFinder.find_spec(name, [folder])
        if spec is None or spec.origin is None:
            continue
        if not Path(spec.origin).samefile(str(import_module(name).__file__)):
            raise InputError(
                f"{spec.origin} would hide the package {name!r} of reelshards in Ray's workers; "
                "rename it, or run from another folder"
            )


def _require_reachable(address: str) -> None:
    """Raise `InputError` when nothing listens at host:port; Ray itself would wait five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(
            f"cannot start Ray at {address!r}: {error.strerror or error}; is the cluster up?"
        ) from error
