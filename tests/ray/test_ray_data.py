"""Blocks over the actors of a pool."""

import os
import time

import pyarrow as pa
import pytest

from pipelines.ray_data import Pool, connect, numbers, stream, through

pytestmark = pytest.mark.ray


class SlowToStart:
    """The first actor is ready at once, any other a second later."""

    def __init__(self, folder: str) -> None:
        try:
            os.mkdir(f"{folder}/first")
        except FileExistsError:
            time.sleep(1)

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(8)
        return table.append_column("pid", pa.array([os.getpid()] * len(table)))


def test_an_actor_that_is_ready_first_leaves_the_others_their_parts(tmp_path):
    connect()
    worked = list(
        stream(
            through(numbers([7, 8]), SlowToStart, {"folder": str(tmp_path)}, Pool(size=2, cpus=0.5))
        )
    )
    assert sorted(row["part"] for row in worked) == [7, 8]
    assert len({row["pid"] for row in worked}) == 2
