"""Starting a local Ray on a machine that is too busy for Ray's own limit."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: The first node is not seen in time, as on a busy machine; later ones are.
SCRIPT = """
import sys
import ray
from ray._private import services
from pipeline.engine.on_ray.cluster import init_ray, stop_ray
from shards_spec.process import end_process

failures, get_node = int(sys.argv[1]), services.get_node

def seen_late(*args):
    global failures
    if failures:
        failures -= 1
        raise Exception("The current node timed out during startup.")
    return get_node(*args)

services.get_node = seen_late
init_ray(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
print(ray.get(ray.put("started")))
stop_ray()
end_process(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("failures", "code"), [(1, 0), (3, 1)])
def test_a_start_that_times_out_is_repeated(failures: int, code: int) -> None:
    command = [sys.executable, "-c", SCRIPT, str(failures)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == code, result.stderr
    assert ("started" in result.stdout) is (code == 0)
    assert ("timed out during startup" in result.stderr) is (code == 1)
