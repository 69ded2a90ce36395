"""A Ray that a run starts is closed to everybody else, and an open cluster is noticed."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from pipeline.config import RunConfig
from pipeline.engine.on_ray import cluster
from tests.support.datasets.outcome import children

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks at Linux's tables"),
]

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


def listening() -> set[str]:
    """Addresses, in the kernel's hexadecimal, at which processes below this one listen."""
    sockets = set()
    for pid in below(os.getpid()):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(descriptor.readlink().name)
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


def below(pid: int) -> list[int]:
    """Ids of the processes below `pid`, at any depth."""
    found = []
    for child in children(pid):
        found += [child, *below(child)]
    return found


def test_a_local_ray_is_on_loopback_and_requires_its_token(
    started: dict[str, str | None],
) -> None:
    addresses = listening()
    assert len(addresses) >= 4
    # 127.0.0.1, also as an IPv6 address, and ::1.
    loopback = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
    assert {address.partition(":")[0] for address in addresses} <= set(loopback)

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
