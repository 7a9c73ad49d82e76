"""How files are dealt into parts: full ones, or so that no worker is left without any."""

from hypothesis import given
from hypothesis import strategies as st

from photoorg.models import SourceFile
from photoorg.stages.job import _parts
from photoorg.stages.plan import IngestPlan


def plan(workers: int, part_rows: int) -> IngestPlan:
    return IngestPlan("fused", workers, 0.5, 0.0, 0, 0.0, 1, part_rows)


@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 64))
def test_every_file_is_in_one_part_in_order(count, workers, part_rows):
    files = [SourceFile(f"file:///{n}", 1, "e") for n in range(count)]
    parts = list(_parts(iter(files), plan(workers, part_rows)))
    assert [file for part in parts for file in part] == files
    assert all(0 < len(part) <= part_rows for part in parts)


def test_a_small_library_gives_every_worker_something_to_do():
    files = [SourceFile(f"file:///{n}", 1, "e") for n in range(218)]
    assert [len(p) for p in _parts(iter(files), plan(2, 512))] == [109, 109]
    assert [len(p) for p in _parts(iter(files[:3]), plan(4, 512))] == [1, 1, 1]
    assert [len(p) for p in _parts(iter(files), plan(2, 50))] == [50, 50, 50, 50, 18]
