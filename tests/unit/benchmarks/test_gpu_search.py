"""The benchmark of searches on GPUs, on GPUs made of CPU memory."""

from __future__ import annotations

import pytest

from benchmarks import gpu_search
from photoorg.index import gpu
from tests.fakes.gpus import FakeGpus


def test_it_compares_the_same_shards_on_both_sides() -> None:
    gpus = FakeGpus(2)
    result = gpu_search.measure(gpus, n=4_000, dim=32, queries=40, shards=2, rounds=1, threads=1)
    assert {device for device, _ in gpus.searches} == {0, 1}
    assert "GPU 0: 1 shards" in result["devices"] and "GPU 1: 1 shards" in result["devices"]
    assert result["gpu_recall_at_10"] >= result["cpu_recall_at_10"] - 0.01 > 0.5
    assert result["gpu_agrees_with_cpu"] > 0.9


@pytest.mark.skipif(gpu.count() > 0, reason="there is a GPU here")
def test_without_a_gpu_it_fails_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_search.main(["--json"]) == 1
    said = capsys.readouterr()
    assert "no GPU" in said.err and said.out == ""
