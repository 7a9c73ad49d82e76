"""What doctor says of GPUs."""

from __future__ import annotations

import pytest

from photoorg.cli.checks import searched_there
from photoorg.config import parse

DEPLOYED = {"shard": {"placement": "deployment"}}


@pytest.mark.parametrize(
    ("settings", "seen", "status", "said"),
    [
        ({}, None, "warn", "not used by faiss-gpu"),
        ({}, 0, "warn", "sees no GPU"),
        ({}, 2, "ok", "up to 8192 MB"),
        ({"index": {"use_gpu": False}}, 2, "ok", "index.use_gpu is false"),
        ({"serve": {"shard_gpu_memory_mb": 0}}, 2, "ok", "shard_gpu_memory_mb is 0"),
        ({"serve": DEPLOYED}, 2, "ok", "serve.shard.num_gpus is 0"),
        ({"serve": {"shard": {"placement": "deployment", "num_gpus": 0.5}}}, 2, "ok", "searched"),
    ],
)
def test_doctor_tells_whether_shards_are_searched_on_gpus(settings, seen, status, said) -> None:
    check = searched_there(parse(settings), seen)
    assert check.status == status and said in check.what
    assert bool(check.fix) == (status == "warn" or "num_gpus is 0" in said)
