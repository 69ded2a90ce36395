"""The Ray cluster of a run: connecting, starting, stopping, and its resources.

Anyone who can talk to Ray's ports can run code as its user. A Ray that is started here listens on
loopback only, and requires a token that nobody else knows, because other users of the machine share
its loopback. Of a cluster that somebody else started, only whether it requires a token is checked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

import ray
from ray._private import ray_constants

from pipeline.config import RunConfig
from shards_spec.errors import InputError

_START_ATTEMPTS = 3

_log = logging.getLogger(__name__)

#: Releases with which a local Ray starts without what a run does not need.
_KNOWN_RAY = ("2.60.",)
_LOOPBACK = "127.0.0.1"
#: Set while Ray runs here: Ray's own switch that keeps all of its ports on loopback, as it does by
#: default on other systems than Linux.
_ONLY_LOOPBACK = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}
_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
#: A request that every control store answers, unless it requires a token.
_HARMLESS = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_PROBE_SECONDS = 10.0
#: Ray's native part, which has no stubs.
_raylet: Any = import_module("ray._raylet")


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
        options |= {"include_dashboard": False, "_node_ip_address": _LOOPBACK}
        _private.enter()
    try:
        with contextlib.nullcontext() if config.address else _lean_start():
            init_ray(**options)
        if config.address:
            _warn_if_open(config.address)
    except Exception as error:
        _private.leave()
        where = f"at {config.address!r}" if config.address else "on this machine"
        raise InputError(f"cannot start Ray {where}: {first_line(error)}") from error
    return True


def _lean_start() -> contextlib.AbstractContextManager[None]:
    """See `lean_start`; nothing with a Ray whose private parts nobody here has looked at."""
    if not ray.__version__.startswith(_KNOWN_RAY):
        return contextlib.nullcontext()
    found: contextlib.AbstractContextManager[None] = import_module(
        "pipeline.engine.on_ray.lean_start"
    ).only_needed()
    return found


def init_ray(**options: Any) -> None:
    """`ray.init`, retried when the node's start timed out.

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
        _private.leave()


class _Private:
    """Settings of this process under which a Ray that it starts is closed to everybody else."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] | None = None
        self._is_cluster = ray_constants.ENABLE_RAY_CLUSTER

    def enter(self) -> None:
        """Make the settings; Ray's processes inherit them."""
        # A new token for every run, in the environment, which other users cannot read; Ray itself
        # would write one to a file. Without a mode Ray requires tokens.
        wanted = {_MODE: None, _TOKEN: secrets.token_hex(32), **_ONLY_LOOPBACK}
        self._before = _set_environment(wanted)
        self._is_cluster, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
        _raylet.AuthenticationTokenLoader.instance().reset_cache()

    def leave(self) -> None:
        """Undo the settings, if they were made."""
        if self._before is None:
            return
        _set_environment(self._before)
        self._before, ray_constants.ENABLE_RAY_CLUSTER = None, self._is_cluster
        # Ray has cached that tokens are required; it reads the environment again here.
        _raylet.Config.initialize("")
        _raylet.AuthenticationTokenLoader.instance().reset_cache()


_private = _Private()


def _set_environment(values: dict[str, str | None]) -> dict[str, str | None]:
    """Set variables, or remove those that are None; returns what they were before."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def _warn_if_open(address: str) -> None:
    """Warn when the cluster that was joined accepts requests without a token."""
    if address.startswith("ray://"):
        return
    if is_open(str(ray.get_runtime_context().gcs_address)):
        _log.warning(
            "the Ray cluster at %s requires no token: anyone who reaches its ports can run code on "
            "it and read movies and credentials; start it with RAY_AUTH_MODE=token "
            "(docs/operations.md)",
            address,
        )


def is_open(control_store: str) -> bool:
    """Whether the control store at host:port answers a request that carries no token.

    One that cannot be asked in this way, for example because it uses TLS, counts as closed.
    """
    import grpc  # Only runs that join a cluster need it.

    with grpc.insecure_channel(control_store) as channel:
        ask = channel.unary_unary(_HARMLESS)
        try:
            ask(b"", timeout=_PROBE_SECONDS)
        except grpc.RpcError:
            return False
    return True


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
