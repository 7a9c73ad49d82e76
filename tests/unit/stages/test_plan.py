from dataclasses import replace

import pytest

from photoorg.config import IngestConfig, parse
from photoorg.errors import ResourceError
from photoorg.stages.plan import plan_here, plan_ingest, runs_here, with_threads


@pytest.mark.parametrize("cpus", [2, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("gpus", [0, 1, 4])
@pytest.mark.parametrize("layout", ["auto", "fused", "split"])
def test_every_default_plan_leaves_a_share_of_the_cluster_free(cpus, gpus, layout):
    plan = plan_ingest(IngestConfig(layout=layout), cpus=cpus, gpus=gpus, models=True)
    taken = plan.workers * plan.worker_cpus + plan.decode_workers * plan.decode_cpus
    assert taken <= cpus - min(1.0, cpus / 2) + 1e-6
    assert plan.workers * plan.worker_gpus <= gpus


def test_a_gpu_splits_decoding_from_the_model():
    plan = plan_ingest(IngestConfig(), cpus=16, gpus=1, models=True)
    assert (plan.layout, plan.workers, plan.worker_gpus) == ("split", 1, 1.0)
    assert plan.decode_workers == 14


def test_cpus_alone_run_the_whole_line_in_each_worker():
    plan = plan_ingest(IngestConfig(), cpus=2, gpus=0, models=True)
    assert (plan.layout, plan.workers, plan.worker_cpus) == ("fused", 2, 0.5)


@pytest.mark.parametrize(
    ("config", "cpus", "gpus"),
    [
        (IngestConfig(workers=2, worker_cpus=1.0), 2, 0),
        (IngestConfig(workers=2, worker_cpus=0.9), 2, 0),
        (IngestConfig(workers=8, worker_gpus=1.0, layout="split"), 16, 1),
        (IngestConfig(layout="split"), 1, 0),
        (IngestConfig(), 0, 0),
    ],
)
def test_a_plan_that_would_wait_for_ever_is_refused_with_a_sentence(config, cpus, gpus):
    with pytest.raises(ResourceError) as refused:
        plan_ingest(config, cpus=cpus, gpus=gpus, models=True)
    assert refused.value.fix


def test_a_handful_of_files_needs_no_cluster():
    config = IngestConfig(here_below=100)
    assert runs_here(config, 99, cluster=False) and not runs_here(config, 100, cluster=False)
    assert not runs_here(config, 1, cluster=True), "a cluster that was named is used"
    assert not runs_here(IngestConfig(here_below=0), 0, cluster=False)


@pytest.mark.parametrize(
    "chosen", [{"layout": "fused"}, {"workers": 1}, {"worker_cpus": 0.5}, {"worker_gpus": 1.0}]
)
def test_who_says_how_to_use_a_cluster_gets_one(chosen):
    assert not runs_here(IngestConfig(**chosen), 1, cluster=False)


def test_without_a_cluster_parts_are_small():
    plan = plan_here(IngestConfig(part_rows=512, micro_batch=32))
    assert (plan.layout, plan.workers, plan.part_rows) == ("here", 1, 32)
    assert plan_here(IngestConfig(part_rows=8, micro_batch=32)).part_rows == 8


def test_encoders_get_the_threads_of_the_plan_unless_the_configuration_names_some():
    plan = plan_here(IngestConfig())
    for named, used in ((None, 6), (2, 2)):
        config = parse({"encoder": {"threads": named}})
        assert with_threads(config, replace(plan, threads=6)).encoder.threads == used
