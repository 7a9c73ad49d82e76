from __future__ import annotations

import pytest

from pipelines.ray_data import Cluster


@pytest.mark.parametrize("cpus", [2.0, 3.5, 8.0, 64.0])
@pytest.mark.parametrize("tasks", [1, 3, 100])
def test_workers_leave_a_cpu_free_and_are_no_more_than_the_tasks(cpus, tasks):
    pool = Cluster(cpus, gpus=0.0).workers(tasks)
    assert 1 <= pool.size <= tasks
    assert 0 < pool.cpus <= 1.0 and pool.size * pool.cpus <= cpus - 1
