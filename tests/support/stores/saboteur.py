"""Kills parts of a Ray cluster on this machine: workers, ffmpeg processes, whole nodes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any, cast

from ray.cluster_utils import Cluster

from tests.support.datasets.outcome import children

#: Processes of a node that do not run tasks; a node terminates with its agent, even the head.
_NO_TASKS = (b"ray::IDLE", b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")


class Saboteur:
    """Kills parts of a cluster."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._cluster = cluster
        self._random = random.Random(seed)

    def strike(self, kind: str) -> bool:
        """Kill a process of the given kind; returns whether there was one."""
        before = self.killed[kind]
        if kind == "node":
            self._kill_node()
            return True
        victims = self._workers() if kind == "worker" else self._programs()
        if victims:
            # It may have ended in the meantime.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._random.choice(victims), signal.SIGKILL)
                self.killed[kind] += 1
        return self.killed[kind] > before

    def _kill_node(self) -> None:
        node = self._random.choice(sorted(self._cluster.worker_nodes, key=lambda n: n.node_id))
        self._cluster.remove_node(node, allow_graceful=False)
        self.killed["node"] += 1
        self._cluster.add_node(num_cpus=1)

    def _workers(self) -> list[int]:
        """Workers of this cluster's nodes that run a task."""
        found = []
        for node in cast(Any, self._cluster).list_all_nodes():
            for info in node.all_processes.get("raylet", []):
                for pid in children(info.process.pid):
                    try:
                        words = Path(f"/proc/{pid}/cmdline").read_bytes()
                    except OSError:
                        continue
                    if words.startswith(b"ray::") and not words.startswith(_NO_TASKS):
                        found.append(pid)
        return found

    def _programs(self) -> list[int]:
        found = []
        for worker in self._workers():
            for pid in children(worker):
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if b"ffmpeg" in words.split(b"\0")[0]:
                    found.append(pid)
        return found
