"""A Ray that a run starts is closed to everybody else, and an open cluster is noticed."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from pipeline.config import RunConfig
from pipeline.engine import cluster

pytestmark = pytest.mark.filterwarnings("ignore")

_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR)


@pytest.fixture
def started() -> Iterator[dict[str, str | None]]:
    """A local Ray as a run starts it; the value is the environment before."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    if ray.is_initialized():
        pytest.skip("another test of this process uses Ray")
    assert cluster.start_ray(RunConfig(workers=1))
    yield before
    cluster.stop_ray()


def listening() -> list[tuple[str, int]]:
    """Addresses at which this process and those below it accept connections."""
    below = psutil.Process().children(recursive=True)
    return [
        (found.laddr.ip, found.laddr.port)
        for process in [psutil.Process(), *below]
        for found in process.net_connections(kind="inet")
        if found.status == psutil.CONN_LISTEN
    ]


def test_a_local_ray_is_on_loopback_and_requires_its_token(
    started: dict[str, str | None],
) -> None:
    ports = listening()
    assert len(ports) >= 5
    assert {ip.removeprefix("::ffff:") for ip, _ in ports} <= {"127.0.0.1", "::1"}

    @ray.remote(num_cpus=1)
    def seven() -> int:
        return 7

    assert ray.get(seven.remote()) == 7
    store = str(ray.get_runtime_context().gcs_address)
    assert not cluster.is_open(store)
    with grpc.insecure_channel(store) as channel:
        for method in ("NodeInfoGcsService/GetAllNodeInfo", "InternalKVGcsService/InternalKVKeys"):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(f"/ray.rpc.{method}")(b"", timeout=20)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    # Command lines are open to all users of a machine.
    token = os.environ["RAY_AUTH_TOKEN"]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token.encode() not in path.read_bytes()
        except OSError:
            continue
    cluster.stop_ray()
    assert {name: os.environ.get(name) for name in _VARIABLES} == started


@pytest.mark.slow
def test_an_open_cluster_is_joined_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr("ray._private.utils.write_ray_address", lambda address: None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = {"num_cpus": 1, "include_dashboard": False, "dashboard_agent_listen_port": port}
    found = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        with caplog.at_level(logging.WARNING):
            assert cluster.start_ray(RunConfig(address=found.address))
        assert "requires no token" in caplog.text
        cluster.stop_ray()
    finally:
        found.shutdown()


def test_a_port_that_is_no_control_store_counts_as_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not cluster.is_open(f"127.0.0.1:{port}")
