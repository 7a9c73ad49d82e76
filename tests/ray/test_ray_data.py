"""Blocks over the actors of a pool."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.ray_data import Pool, connect, numbers, stream, through

pytestmark = pytest.mark.ray


class SlowToStart:
    """The first actor is ready at once, the other a second later; until then the first works."""

    def __init__(self, folder: str) -> None:
        self._second = Path(folder) / "second"
        try:
            os.mkdir(f"{folder}/first")
        except FileExistsError:
            time.sleep(1)
            self._second.touch()

    def __call__(self, table: pa.Table) -> pa.Table:
        end = time.monotonic() + 120
        while not self._second.exists() and time.monotonic() < end:
            time.sleep(0.05)
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
