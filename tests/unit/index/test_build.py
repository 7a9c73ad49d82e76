"""Builds and opened shards: what a version holds, finds, and refuses."""

from __future__ import annotations

import gc
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig
from photoorg.errors import IndexCorruptError, InputError, NotFoundError, SpaceMismatchError
from photoorg.index.build import build_local, build_shard, finish
from photoorg.index.manifest import IndexManifest
from photoorg.index.photo_ids import hex_ids, slot_of
from photoorg.index.planning import plan
from photoorg.index.sample import Sample
from photoorg.index.shard import Shard, open_shard
from photoorg.index.training import train_version
from tests.unit.index.vectors import clustered, keys, space

N, DIM = 6_000, 32
KEYS, X = keys(N), clustered(N, DIM)
IDS = hex_ids(KEYS)
QUERIES = clustered(100, DIM, seed=1)
SPACE = space(DIM)
CONFIG = IndexConfig(
    shards=2,
    flat_below=1_000,
    factory="OPQ{pq},IVF{nlist},PQ{pq}x4fs",
    recall_sample=300,
    use_gpu=False,
    threads=1,
)
Version = tuple[Path, IndexManifest]


def batches(n: int = N) -> list[tuple[list[str], np.ndarray]]:
    return [(IDS[i : i + 900], X[i : min(n, i + 900)].astype(np.float16)) for i in range(0, n, 900)]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    directory = tmp_path_factory.mktemp("version")
    return directory, build_local(batches(), directory, SPACE, CONFIG, version="v1", delta_seq=7)


@pytest.fixture(scope="module")
def shards(version: Version) -> list[Shard]:
    return [open_shard(version[0], version[1], slot) for slot in (0, 1)]


def found(shards: list[Shard], queries: np.ndarray, k: int) -> list[set[str]]:
    best: list[list[tuple[float, str]]] = [[] for _ in queries]
    for shard in shards:
        scores, rows = shard.search(queries, k)
        for i in range(len(queries)):
            best[i] += zip(-scores[i], shard.ids.hex(rows[i]), strict=True)
    return [{photo for _, photo in sorted(one)[:k]} for one in best]


def truth(queries: np.ndarray, k: int) -> list[set[str]]:
    return [{IDS[j] for j in row[:k]} for row in np.argsort(-(queries @ X.T), axis=1)]


def recall(a: list[set[str]], b: list[set[str]]) -> float:
    return float(np.mean([len(x & y) / len(y) for x, y in zip(a, b, strict=True)]))


def test_the_manifest_says_what_was_built(version: Version) -> None:
    directory, manifest = version
    assert IndexManifest.read(directory) == manifest
    assert (manifest.kind, manifest.vectors, manifest.delta_seq) == ("ivfpq", N, 7)
    assert manifest.space == SPACE and manifest.rescore == "sq8"
    assert manifest.recall_at_10 >= CONFIG.recall_target
    assert {p.name for p in directory.iterdir()} == {"manifest.json", *manifest.files()}
    for shard in manifest.shards:
        for part, info in shard.files.items():
            name = {"base": "faiss"}.get(part, part)
            assert (directory / f"shard-{shard.slot}.{name}").stat().st_size == info.bytes


def test_the_recall_promised_is_the_recall_of_other_queries(
    version: Version, shards: list[Shard]
) -> None:
    others = clustered(2_000, DIM, seed=2)
    reached = recall(found(shards, others, 10), truth(others, 10))
    assert reached >= CONFIG.recall_target - 0.005
    assert reached == pytest.approx(version[1].recall_at_10, abs=0.02)


def test_every_photo_is_in_its_slot_once_with_its_vector(shards: list[Shard]) -> None:
    slots = slot_of(KEYS, 2)
    for slot, shard in enumerate(shards):
        rows = shard.rows(KEYS)
        assert ((rows >= 0) == (slots == slot)).all()
        assert sorted(rows[rows >= 0]) == list(range(len(shard)))
        close = np.einsum("nd,nd->n", shard.vectors(rows[rows >= 0]), X[slots == slot])
        assert (close > 0.999).all()
        assert shard.ids.hex(np.arange(len(shard))) == sorted(shard.ids.hex(np.arange(len(shard))))


def test_scores_are_rescored_cosines(shards: list[Shard]) -> None:
    scores, rows = shards[0].search(QUERIES, 10)
    where = {photo: i for i, photo in enumerate(IDS)}
    true = [
        [QUERIES[i] @ X[where[p]] for p in shards[0].ids.hex(rows[i])] for i in range(len(QUERIES))
    ]
    np.testing.assert_allclose(scores, true, atol=8e-3)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_equal_vectors_score_equally_in_every_shard(tmp_path: Path) -> None:
    x = X.copy()
    x[:200] = x[0]
    manifest = build_local([(KEYS, x)], tmp_path, SPACE, CONFIG, version="v")
    scores = [open_shard(tmp_path, manifest, s).search(x[:1], 40)[0] for s in (0, 1)]
    assert len(np.unique(np.concatenate(scores))) == 1


@pytest.mark.parametrize("k", [1, 10, 300, 2_999])
def test_k_results_come_back_whatever_k_is(shards: list[Shard], k: int) -> None:
    for shard in shards:
        scores, rows = shard.search(QUERIES[:5], k)
        full = min(k, len(shard))
        assert rows.shape == (5, k) and (rows[:, :full] >= 0).all() and (rows[:, full:] < 0).all()
        assert all(len(set(row[:full])) == full for row in rows)
        assert (scores[:, full:] == -np.inf).all()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.002])
def test_filtered_search_keeps_its_recall(shards: list[Shard], share: float) -> None:
    rng = np.random.default_rng(3)
    for shard in shards:
        x = shard.vectors(np.arange(len(shard)))
        allowed = rng.random(len(shard)) < share
        allowed[:3] = True
        _, rows = shard.search(QUERIES, 10, allowed=allowed)
        true = np.argsort(-np.where(allowed, QUERIES @ x.T, -np.inf), axis=1)
        k = min(10, int(allowed.sum()))
        assert allowed[rows[rows >= 0]].all()
        got = [set(row[row >= 0]) for row in rows]
        assert recall(got, [set(row[:k]) for row in true]) >= 0.95


def test_k_below_one_is_refused(shards: list[Shard]) -> None:
    with pytest.raises(InputError, match="k must be"):
        shards[0].search(QUERIES, 0)


def test_searches_from_many_threads_agree(shards: list[Shard]) -> None:
    alone = {e: shards[0].search(QUERIES, 10, effort=e)[1] for e in (1, 4, 16)}
    wrong: list[int] = []

    def ask(effort: int) -> None:
        for _ in range(10):
            if not np.array_equal(shards[0].search(QUERIES, 10, effort=effort)[1], alone[effort]):
                wrong.append(effort)

    threads = [threading.Thread(target=ask, args=(e,)) for e in (*alone, *alone)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_resident_memory_leaves_out_what_is_mapped(shards: list[Shard]) -> None:
    for shard in shards:
        assert 0 < shard.memory_bytes() < len(shard) * DIM + 40_000


def test_shards_of_one_version_can_hold_their_centroids_once(
    version: Version, shards: list[Shard]
) -> None:
    expected = shards[1].search(QUERIES, 10)
    for _ in range(5):
        first = open_shard(*version, 0)
        second = open_shard(*version, 1, like=first)
        third = open_shard(*version, 1, like=second)
        assert third.memory_bytes() == second.memory_bytes() < shards[1].memory_bytes()
        del first, second
        gc.collect()
        np.testing.assert_array_equal(third.search(QUERIES, 10)[1], expected[1])


def test_sharing_leaves_nothing_behind_at_exit(version: Version) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from photoorg.index.manifest import IndexManifest\n"
        "from photoorg.index.shard import open_shard\n"
        "folder = Path(sys.argv[1]); manifest = IndexManifest.read(folder)\n"
        "opened = [open_shard(folder, manifest, 0)]\n"
        "opened += [open_shard(folder, manifest, i % 2, like=opened[0]) for i in range(5)]\n"
        "while opened: opened.pop()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(version[0])], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_small_versions_are_flat_and_exact(tmp_path: Path) -> None:
    manifest = build_local(batches(900), tmp_path, SPACE, CONFIG, version="small")
    opened = [open_shard(tmp_path, manifest, s) for s in (0, 1)]
    assert (manifest.kind, manifest.rescore) == ("flat", "fp16")
    assert manifest.recall_at_10 > 0.995
    expected = [{IDS[j] for j in row[:10]} for row in np.argsort(-(QUERIES @ X[:900].T), axis=1)]
    assert recall(found(opened, QUERIES, 10), expected) > 0.995
    assert sum(s.memory_bytes() for s in opened) == 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_versions_of_almost_nothing_work(n: int, tmp_path: Path) -> None:
    manifest = build_local([(IDS[:n], X[:n])], tmp_path, SPACE, CONFIG, version="tiny")
    shards = [open_shard(tmp_path, manifest, s) for s in (0, 1)]
    rows = [shard.search(QUERIES[:1], 5)[1] for shard in shards]
    assert manifest.vectors == n == sum(int((r >= 0).sum()) for r in rows)


def test_an_empty_slot_of_an_inverted_version_works(tmp_path: Path) -> None:
    here = slot_of(KEYS, 2) == 0
    manifest = build_local([(KEYS[here], X[here])], tmp_path, SPACE, CONFIG, version="half")
    assert manifest.kind == "ivfpq" and [s.rows for s in manifest.shards] == [here.sum(), 0]
    assert (open_shard(tmp_path, manifest, 1).search(QUERIES[:1], 5)[1] == -1).all()


def test_the_last_vector_of_a_photo_counts(tmp_path: Path) -> None:
    again = [(IDS[:5], X[100:105])]
    manifest = build_local(batches(900) + again, tmp_path, SPACE, CONFIG, version="again")
    shard = open_shard(tmp_path, manifest, int(slot_of(KEYS[:1], 2)[0]))
    assert manifest.vectors == 900
    np.testing.assert_allclose(shard.vectors(shard.rows(KEYS[:1]))[0], X[100], atol=2e-3)


def test_pieces_built_apart_make_the_version_built_at_once(
    version: Version, tmp_path: Path
) -> None:
    parts = [Sample(CONFIG.train_sample, DIM) for _ in range(3)]
    for i, (ids, x) in enumerate(batches()):
        parts[i % 3].add(ids, x)
    for other in parts[1:]:
        parts[0].merge(other)
    trained = train_version(parts[0], plan(N, DIM, CONFIG))
    trained = pickle.loads(pickle.dumps(trained))
    built = [
        pickle.loads(pickle.dumps(build_shard(trained, batches(), tmp_path, slot, SPACE)))
        for slot in (1, 0)
    ]
    manifest = finish(built, trained, None, SPACE, version="ray", delta_seq=7)
    assert not (tmp_path / "manifest.json").exists()
    assert [s.files for s in manifest.shards] == [s.files for s in version[1].shards]
    assert (manifest.effort, manifest.recall_at_10) == (
        version[1].effort,
        version[1].recall_at_10,
    )


def test_an_unfinished_build_leaves_no_version_and_no_spools(tmp_path: Path) -> None:
    def broken() -> object:
        yield from batches()[:2]
        raise RuntimeError("source died")

    with pytest.raises(RuntimeError, match="source died"):
        build_local(broken(), tmp_path, SPACE, CONFIG, version="x")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


PARTS = ["faiss", "rescore", "ids"]


def copied(version: Version, tmp_path: Path) -> Path:
    return Path(shutil.copytree(version[0], tmp_path / "copy"))


@pytest.mark.parametrize("part", PARTS)
def test_a_truncated_part_is_refused(version: Version, part: str, tmp_path: Path) -> None:
    path = copied(version, tmp_path) / f"shard-0.{part}"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IndexCorruptError, match=f"shard-0.{part}"):
        open_shard(path.parent, version[1], 0)


@pytest.mark.parametrize("part", PARTS)
def test_an_altered_part_is_refused(version: Version, part: str, tmp_path: Path) -> None:
    path = copied(version, tmp_path) / f"shard-0.{part}"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexCorruptError, match="altered"):
        open_shard(path.parent, version[1], 0)


@pytest.mark.parametrize("part", PARTS)
def test_another_slots_part_is_refused(version: Version, part: str, tmp_path: Path) -> None:
    directory = copied(version, tmp_path)
    shutil.copy(directory / f"shard-1.{part}", directory / f"shard-0.{part}")
    with pytest.raises(IndexCorruptError, match="manifest"):
        open_shard(directory, version[1], 0)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_not_found(version: Version, part: str, tmp_path: Path) -> None:
    path = copied(version, tmp_path) / f"shard-0.{part}"
    path.unlink()
    with pytest.raises(NotFoundError, match=f"shard-0.{part}"):
        open_shard(path.parent, version[1], 0)


def test_files_of_another_space_are_a_mismatch(version: Version) -> None:
    directory, manifest = version
    info = manifest.shards[0]
    with pytest.raises(SpaceMismatchError, match="other"):
        Shard.open(directory, info, space(DIM, "other"), kind=manifest.kind)


def test_a_slot_the_version_has_not_is_not_found(version: Version) -> None:
    with pytest.raises(NotFoundError, match="shard 9"):
        open_shard(version[0], version[1], 9)
