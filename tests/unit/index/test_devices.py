"""Where shards are searched: on GPUs (here made of CPU memory) or not, with the same results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig
from photoorg.index import devices as devices_module
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.device_form import device_bytes, device_form
from photoorg.index.devices import Devices
from photoorg.index.manifest import IndexManifest
from photoorg.index.photo_ids import as_keys, hex_ids
from photoorg.index.shard import Shard, open_shard
from photoorg.index.slot import ShardSlot
from photoorg.index.subset import AllowedPhotos
from tests.fakes.gpus import FakeGpus
from tests.unit.index.vectors import clustered, keys, space

N, DIM, SHARDS = 4_500, 32, 3
IDS, X = hex_ids(keys(N)), clustered(N, DIM)
QUERIES = clustered(60, DIM, seed=1)
MB = 1_000_000
FACTORIES = {
    "flat": ("SQfp16", 10_000),
    "flat in float32": ("Flat", 10_000),
    "fast scan": ("OPQ{pq},IVF{nlist},PQ{pq}x4fs", 1_000),
    "narrower": ("OPQ8_16,IVF{nlist},PQ8x4fs", 1_000),
    "8-bit codes": ("IVF{nlist},PQ8", 1_000),
    "halves": ("IVF{nlist},SQfp16", 1_000),
}
Version = tuple[Path, IndexManifest]


@dataclass(frozen=True)
class Gone:
    """An event of the log: a photo went."""

    seq: int
    photo_id: str
    op: str = "delete"
    vector: None = None


@pytest.fixture(scope="module", params=FACTORIES)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return build(tmp_path_factory.mktemp("version"), *FACTORIES[request.param])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return build(tmp_path_factory.mktemp("usual"), *FACTORIES["fast scan"])


def build(folder: Path, factory: str, flat_below: int, *, shards: int = SHARDS) -> Version:
    config = IndexConfig(
        shards=shards,
        flat_below=flat_below,
        factory=factory,
        recall_sample=300,
        use_gpu=False,
        threads=1,
    )
    batch = [(IDS, X.astype(np.float16))]
    return folder, build_local(batch, folder, space(DIM), config, version="v1")


def opened(version: Version, devices: Devices | None) -> list[Shard]:
    shards: list[Shard] = []
    for slot in range(len(version[1].shards)):
        like = shards[0] if shards else None
        shards.append(open_shard(*version, slot, like=like, devices=devices))
    if devices is not None:
        devices.settle()
    return shards


def exact(shard: Shard, queries: np.ndarray, k: int) -> list[set[int]]:
    scores = queries @ shard.rescorer.decoded(np.arange(len(shard))).T
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :k].tolist()]


def recall(shard: Shard, rows: np.ndarray, k: int = 10) -> float:
    truth = exact(shard, QUERIES, k)
    return float(np.mean([len(t & set(r)) / k for t, r in zip(truth, rows.tolist(), strict=True)]))


def test_a_shard_on_a_gpu_answers_as_one_without(version: Version) -> None:
    gpus = FakeGpus(2)
    for plain, pinned in zip(
        opened(version, None), opened(version, Devices(gpus, 100 * MB)), strict=True
    ):
        cpu_scores, cpu_rows = plain.search(QUERIES, 10)
        before = len(gpus.searches)
        scores, rows = pinned.search(QUERIES, 10)
        assert len(gpus.searches) > before
        assert recall(pinned, rows) >= recall(plain, cpu_rows) - 0.01
        same = rows == cpu_rows
        assert same.mean() > 0.9
        np.testing.assert_allclose(scores[same], cpu_scores[same], atol=1e-5)


def test_everything_is_found_where_all_lists_are_scanned(version: Version) -> None:
    for shard in opened(version, Devices(FakeGpus(), 100 * MB)):
        rows = shard.search(QUERIES, 10, effort=shard.index.max_effort)[1]
        assert recall(shard, rows) > 0.99


def test_scores_do_not_depend_on_how_queries_are_put_together(usual: Version) -> None:
    (shard, *_) = opened(usual, Devices(FakeGpus(), 100 * MB))
    together = shard.search(QUERIES, 10)
    alone = [shard.search(q[None], 10) for q in QUERIES]
    np.testing.assert_allclose(together[0], np.concatenate([s for s, _ in alone]), atol=1e-6)
    np.testing.assert_array_equal(together[1], np.concatenate([r for _, r in alone]))


def test_filtered_searches_are_the_cpus(version: Version) -> None:
    gpus = FakeGpus()
    plain, pinned = opened(version, None)[0], opened(version, Devices(gpus, 100 * MB))[0]
    for share in (0.5, 0.05):
        mask = np.random.default_rng(7).random(len(plain)) < share
        expected = plain.search(QUERIES, 10, allowed=mask)
        answer = pinned.search(QUERIES, 10, allowed=mask)
        np.testing.assert_array_equal(answer[1], expected[1])
        np.testing.assert_array_equal(answer[0], expected[0])
    assert gpus.searches == []


@pytest.mark.parametrize("name", ["flat", "fast scan"])
def test_more_than_a_gpu_can_give_is_the_cpus(name: str, tmp_path: Path) -> None:
    version = build(tmp_path, *FACTORIES[name], shards=1)
    gpus = FakeGpus()
    plain, pinned = opened(version, None)[0], opened(version, Devices(gpus, 100 * MB))[0]
    pinned.search(QUERIES[:2], 10)
    assert len(gpus.searches) == 1
    expected, answer = plain.search(QUERIES[:3], 1_500), pinned.search(QUERIES[:3], 1_500)
    assert len(gpus.searches) == 1
    np.testing.assert_array_equal(answer[0], expected[0])
    np.testing.assert_array_equal(answer[1], expected[1])


def test_deleted_photos_are_left_out_of_what_a_gpu_finds(version: Version) -> None:
    gpus = FakeGpus()
    slots = [
        [ShardSlot(base, Delta(DIM), slot=n, shards=SHARDS) for n, base in enumerate(shards)]
        for shards in (opened(version, None), opened(version, Devices(gpus, 100 * MB)))
    ]
    gone = IDS[:60]
    for slot in (*slots[0], *slots[1]):
        slot.apply([Gone(seq, photo) for seq, photo in enumerate(gone, 1)])
    plain, pinned = ([[n.ids for n in s.nearest(X[:60], 10)] for s in some] for some in slots)
    assert len(gpus.searches) == SHARDS
    for one, other in zip(plain, pinned, strict=True):
        assert all(len(ids) == 10 and set(ids).isdisjoint(gone) for ids in other)
        assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(one, other, strict=True)]) > 0.9


def test_where_what_is_near_was_deleted_the_cpu_looks_further(usual: Version) -> None:
    gpus = FakeGpus()
    plain, pinned = opened(usual, None)[0], opened(usual, Devices(gpus, 100 * MB))[0]
    scores = pinned.rescorer.decoded(np.arange(len(pinned))) @ QUERIES[0]
    mask = np.ones(len(pinned), np.bool_)
    mask[np.argsort(-scores)[: len(pinned) // 11]] = False
    assert len(mask) - mask.sum() > 120
    some = {"rescore_factor": 3, "allowed": mask}
    expected, answer = plain.search(QUERIES[:1], 10, **some), pinned.search(QUERIES[:1], 10, **some)
    assert gpus.searches
    np.testing.assert_array_equal(answer[0], expected[0])
    np.testing.assert_array_equal(answer[1], expected[1])


def test_a_filter_over_a_slot_is_the_cpus(usual: Version) -> None:
    allowed = AllowedPhotos(as_keys(sorted(IDS[::2])))
    gpus = FakeGpus()
    answers = []
    for devices in (None, Devices(gpus, 100 * MB)):
        (base, *_) = opened(usual, devices)
        slot = ShardSlot(base, Delta(DIM), slot=0, shards=SHARDS)
        answers.append([near.ids for near in slot.nearest(QUERIES, 10, allowed=allowed)])
    assert answers[0] == answers[1] and gpus.searches == []


def test_shards_spread_over_devices_whatever_their_numbers(usual: Version) -> None:
    gpus = FakeGpus(2)
    devices = Devices(gpus, 100 * MB)
    even = [open_shard(*usual, 0, devices=devices), open_shard(*usual, 2, devices=devices)]
    devices.settle()
    assert [copy.device for copy in gpus.alive] == [0, 1]
    for shard in even:
        shard.search(QUERIES, 5)
    assert {device for device, _ in gpus.searches} == {0, 1}
    assert sorted(gpus.opened) == [0, 1]


def test_a_device_has_one_stream_for_all_its_shards_and_threads(usual: Version) -> None:
    gpus = FakeGpus()
    shards = opened(usual, Devices(gpus, 100 * MB))
    expected = [shard.search(QUERIES, 10) for shard in shards]
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(20):
            rows = shards[number].search(QUERIES, 10)[1]
            if not np.array_equal(rows, expected[number][1]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(n % SHARDS,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, gpus.overlaps, gpus.opened) == ([], 0, [0])
    assert len(gpus.searches) >= 6 * 20


def test_until_a_thread_has_copied_it_a_shard_is_searched_on_the_cpu(usual: Version) -> None:
    gpus = FakeGpus()
    devices = Devices(gpus, 100 * MB)
    shard = open_shard(*usual, 0, devices=devices)
    shard.search(QUERIES, 10)
    assert gpus.searches == [] and "1 shards on the CPU" in devices.status()
    devices.start()
    try:
        assert eventually(lambda: "GPU 0: 1 shards" in devices.status())
        shard.search(QUERIES, 10)
        assert gpus.searches
    finally:
        devices.close()


def test_while_a_device_is_busy_with_a_copy_the_cpu_answers(usual: Version) -> None:
    gpus = FakeGpus()
    devices = Devices(gpus, 100 * MB)
    one = open_shard(*usual, 0, devices=devices)
    devices.settle()
    found: list[np.ndarray] = []
    gpus.while_copying = lambda: found.append(one.search(QUERIES, 10)[1])
    two = open_shard(*usual, 1, devices=devices)
    devices.settle()
    np.testing.assert_array_equal(found, [open_shard(*usual, 0).search(QUERIES, 10)[1]])
    assert gpus.searches == []
    two.search(QUERIES, 10)
    one.search(QUERIES, 10)
    assert len(gpus.searches) == 2


def test_a_dropped_shard_frees_its_memory_for_one_that_waits(
    usual: Version, caplog: pytest.LogCaptureFixture
) -> None:
    gpus = FakeGpus()
    first = open_shard(*usual, 0)
    devices = Devices(gpus, device_bytes(first.index) * 3 // 2)
    one, two = (open_shard(*usual, n, devices=devices) for n in (0, 1))
    with caplog.at_level(logging.WARNING):
        devices.settle()
        devices.settle()
    stays = [r for r in caplog.records if "stays on the CPU" in r.message]
    assert len(stays) == 1 and "serve.shard_gpu_memory_mb" in stays[0].message
    assert len(gpus.alive) == 1
    two.search(QUERIES, 5)
    one.search(QUERIES, 5)
    assert len(gpus.searches) == 1
    del one
    devices.settle()
    assert len(gpus.alive) == 1 and "1 shards on the CPU" not in devices.status()
    two.search(QUERIES, 5)
    assert len(gpus.searches) == 2
    del two
    devices.settle()
    assert gpus.alive == [] and "GPU 0: 0 shards, 0 MB" in devices.status()


def test_a_device_that_is_full_after_all_leaves_the_shard_on_the_cpu(
    usual: Version, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = FakeGpus(capacity=10)
    devices = Devices(gpus, 100 * MB)
    with caplog.at_level(logging.WARNING):
        shard = open_shard(*usual, 0, devices=devices)
        devices.settle()
        devices.settle()
    said = [r.message for r in caplog.records if "out of memory" in r.message]
    assert len(said) == 1 and "stays on the CPU" in said[0]
    np.testing.assert_array_equal(
        shard.search(QUERIES, 10)[1], open_shard(*usual, 0).search(QUERIES, 10)[1]
    )
    gpus.capacity = 10**9
    now = devices_module.time.monotonic()
    monkeypatch.setattr(devices_module.time, "monotonic", lambda: now + 61)
    devices.settle()
    assert len(gpus.alive) == 1


def test_a_search_that_fails_there_is_answered_by_the_cpu_at_once(
    usual: Version, caplog: pytest.LogCaptureFixture
) -> None:
    gpus = FakeGpus()
    devices = Devices(gpus, 100 * MB)
    shard = open_shard(*usual, 0, devices=devices)
    devices.settle()
    gpus.refuse = True
    expected = open_shard(*usual, 0).search(QUERIES, 10)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scores, rows = shard.search(QUERIES, 10)
            np.testing.assert_array_equal(rows, expected[1])
            np.testing.assert_array_equal(scores, expected[0])
    warned = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert ["leaves GPU 0" in message for message in warned] == [True]
    devices.settle()
    assert gpus.alive == [] and "1 shards on the CPU" in devices.status()


def test_the_bytes_counted_are_near_those_of_the_form(version: Version) -> None:
    from photoorg.index.faiss_io import to_bytes

    shard = open_shard(*version, 0)
    size = len(to_bytes(device_form(shard.index, shard.rescorer)))
    assert 0.4 * size < device_bytes(shard.index) < 4 * size


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
