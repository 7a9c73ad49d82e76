"""Nothing is missing from a version that is made to serve, however its photos came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photoorg.config import StorageConfig
from photoorg.encoders.spaces import open_encoder
from photoorg.errors import ConflictError, IndexCorruptError, NotFoundError, StorageError
from photoorg.index.manifest import file_name
from photoorg.search.local import local_slot
from photoorg.search.ports import SlotQuery
from photoorg.stages.completing import log_stored
from photoorg.stages.coverage import Coverage, Gap
from photoorg.stages.reembedding import ReembedJob, ReembedParts
from photoorg.stages.versions import Versions
from photoorg.store.catalog import delta, indexes, photos, spaces, thresholds
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from pipelines.build_index import Build
from tests.catalog import rows
from tests.fakes.libraries import Uploads, configured
from tests.pictures import jpeg

pytestmark = pytest.mark.postgres
T = "default"


@pytest.fixture
def world(tmp_path, catalog, catalog_url):
    world = Uploads(configured(tmp_path, catalog_url, ingest={"part_rows": 100}), catalog)
    yield world
    world.close()


def versions_of(world: Uploads, coverage: Coverage | None = None) -> Versions:
    coverage = coverage or Coverage(world.store, world.catalog, T)
    return Versions(world.catalog, T, world.config.migration, coverage)


def ingest(
    world: Uploads,
    folder: Path,
    *seeds: int,
    behind: tuple[str, ...] = (),
    weights: bool = False,
) -> list[str]:
    """Pictures by a bulk ingest, which tells what is `behind`; the ids of those that are new.

    The second space's weights are not to be had there, unless `weights`.
    """
    from pipelines import ingest

    nowhere = world.config.migration.model_copy(update={"spaces": ()})
    config = world.config
    if not weights:
        config = world.config.model_copy(update={"migration": nowhere})
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(jpeg(seed))
    before = live(world)
    summary = ingest.run(config, [str(folder)])
    assert summary.also == ()
    new = sorted(live(world) - before)
    assert summary.new == len(seeds) == len(new)
    assert not behind or summary.behind == behind
    return new


def reembed(world: Uploads, **changes: object) -> dict:
    from pipelines import reembed

    config = world.config.model_copy(update=changes)
    return reembed.run(config, world.config.migration.spaces[0])


def work(world: Uploads, job: ReembedJob, store: ObjectStore | None = None) -> None:
    """Embed what the job has to do."""
    config = world.config.encoder.model_copy(update={"space": world.config.migration.spaces[0]})
    encoder = open_encoder(config, world.config.models_dir)
    parts = ReembedParts(world.config, store or world.store, encoder, job.version)
    while todo := job.todo():
        for part in todo:
            parts.work(part)


def live(world: Uploads) -> set[str]:
    with world.catalog.tenant(T) as tx:
        return set(photos.live_ids(tx))


def build(world: Uploads) -> str:
    from pipelines import build_index

    return str(build_index.run(world.config)["version"])


def found(world: Uploads) -> set[str]:
    """What searches of the default space can find."""
    with world.catalog.tenant(T) as tx:
        space, seq = spaces.get_default(tx), delta.head(tx)
    assert space is not None
    slot = local_slot(world.config, world.catalog, world.store, 0, 1)
    x_d = np.ones(space.dim, np.float32)
    ids = slot.search_now(SlotQuery(T, space, x_d, 500, 500, seq)).ids
    slot.close()
    return set(ids)


def test_a_bulk_ingest_after_the_shadow_was_built_holds_up_the_cutover(world, tmp_path):
    first = world.add(*range(6))
    build(world)
    shadow = reembed(world)
    assert (shadow["status"], shadow["photos"], shadow["lacking"]) == ("shadow", 6, 0)
    late = ingest(world, tmp_path / "bulk", 50, 51, 52, behind=("tiny",))
    versions = versions_of(world)
    with pytest.raises(ConflictError, match=r"lacks 3 of 9 photos.*photoorg reembed --space"):
        versions.activate(shadow["version"], actor="ann", force=True)
    with pytest.raises(ConflictError, match="lacks 3 of 9"):
        versions.canary(shadow["version"], 0.5, actor="ann")
    world.delete(late[0])
    again = reembed(world)
    assert again["version"] == shadow["version"], "no other version is built"
    assert (again["photos"], again["added"], again["lacking"]) == (2, 2, 0)
    world.delete(late[1])
    versions.activate(shadow["version"], actor="ann", force=True)
    assert found(world) == {*first, late[2]} == live(world)


def test_a_bulk_ingest_during_the_re_embedding_is_in_the_version(world, tmp_path):
    from pipelines import reembed as job

    world.add(*range(4))
    build(world)
    late: list[str] = []

    def progress(done: int, total: int, seconds: float) -> None:
        if not late:
            late.extend(ingest(world, tmp_path / "bulk", 60, 61))

    done = job.run(world.config, world.config.migration.spaces[0], progress=progress)
    assert late and (done["photos"], done["vectors"], done["added"]) == (6, 6, 0)
    versions_of(world).activate(done["version"], actor="ann", force=True)
    assert found(world) == live(world)


def test_what_came_while_the_version_was_built_is_added_to_it(world, tmp_path):
    """The last moment of a job: the photos were listed, the shards are not written yet."""
    world.add(*range(4))
    build(world)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.begin()
    work(world, job)
    ingest(world, tmp_path / "bulk", 70)
    Build(world.config, world.second, job.version).run(world.catalog)
    done = reembed(world)
    assert (done["version"], done["photos"], done["added"]) == (job.version, 1, 1)
    versions_of(world).activate(done["version"], actor="ann", force=True)
    assert found(world) == live(world)


class Late(Coverage):
    """Photos come right after the version was looked over."""

    come = None

    def gap(self, *given, **named) -> Gap:
        seen = super().gap(*given, **named)
        if self.come is not None:
            come, self.come = self.come, None
            come()
        return seen


@pytest.mark.parametrize("way", ["bulk", "upload"])
def test_photos_that_come_between_the_look_and_the_cutover_are_noticed(world, tmp_path, way):
    world.add(*range(4))
    build(world)
    shadow = reembed(world)
    coverage = Late(world.store, world.catalog, T)
    if way == "bulk":
        coverage.come = lambda: ingest(world, tmp_path / "bulk", 80)
    else:
        world.ingestor._encoders = None  # this worker has no weights of the other space
        coverage.come = lambda: world.add(80)
    versions = versions_of(world, coverage)
    with pytest.raises(ConflictError, match="lacks 1 of 5"):
        versions.activate(shadow["version"], actor="ann", force=True)
    assert reembed(world)["added"] == 1
    coverage.come = lambda: world.delete(next(iter(live(world))))
    versions.activate(shadow["version"], actor="ann", force=True)
    assert found(world) == live(world)


def test_where_much_is_lacking_a_new_version_is_built(world, tmp_path):
    world.add(*range(2))
    build(world)
    shadow = reembed(world)
    ingest(world, tmp_path / "bulk", 90, 91, 92)
    few = world.config.index.model_copy(update={"compact_after": 2})
    again = reembed(world, index=few)
    assert again["version"] != shadow["version"]
    assert (again["photos"], again["vectors"], again["added"]) == (3, 5, 0)


def test_a_killed_catch_up_embeds_nothing_twice(world, tmp_path):
    world.add(*range(2))
    build(world)
    shadow = reembed(world)
    late = ingest(world, tmp_path / "bulk", 95, 96)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.join(shadow["version"])
    work(world, job)
    again = reembed(world)
    assert (again["version"], again["photos"], again["added"]) == (shadow["version"], 0, 2)
    assert Coverage(world.store, world.catalog, T).gap(version(world, again)).photo_ids == []
    assert set(late) <= live(world)


def version(world: Uploads, done: dict):
    with world.catalog.tenant(T) as tx:
        found = indexes.get(tx, done["space"], done["version"])
    assert found is not None
    return found[0]


def test_a_deleted_photo_is_not_logged_again(world, tmp_path):
    world.add(*range(2))
    build(world)
    reembed(world)
    one, two = ingest(world, tmp_path / "bulk", 97, 98)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    work(world, job)
    world.delete(one)
    assert log_stored(world.store, world.catalog, T, world.second, [one, two]) == 1
    with world.catalog.tenant(T) as tx:
        came, gone = delta.last_words(tx, world.second.id, 0)
    assert two in came and one in gone and one not in came


def test_a_photo_that_cannot_be_read_does_not_hold_up_a_cutover(world):
    ids = world.add(*range(4))
    build(world)
    Path(world.store.root, blob_path(T, ids[1])).unlink()
    done = reembed(world)
    assert (done["rejects"], done["lacking"]) == (1, 0)
    versions_of(world).activate(done["version"], actor="ann", force=True)
    assert found(world) == set(ids) - {ids[1]}


class Moody(ObjectStore):
    """A store that fails to give one file, for now."""

    def __init__(self, root: str, lost: str) -> None:
        super().__init__(StorageConfig(root=root))
        self._lost = lost

    def read(self, path: str, *given, **named) -> bytes:
        if path == self._lost:
            raise StorageError("The bucket does not answer.", retryable=True)
        return super().read(path, *given, **named)


def test_one_that_may_be_read_another_time_does(world):
    ids = world.add(*range(3))
    build(world)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.begin()
    store = Moody(world.store.root, blob_path(T, ids[1]))
    work(world, job, store)
    Build(world.config, world.second, job.version).run(world.catalog)
    job.finish()
    assert job.rejected() == 1
    with pytest.raises(ConflictError, match="lacks 1 of 3"):
        versions_of(world).activate(job.version, actor="ann", force=True)
    assert (reembed(world)["added"], reembed(world)["added"]) == (1, 0)
    versions_of(world).activate(job.version, actor="ann", force=True)
    assert found(world) == set(ids)


def test_a_rollback_is_not_held_up_and_says_what_is_lost_from_sight(world, tmp_path):
    first = world.add(*range(4))
    build(world)
    versions = versions_of(world)
    versions.activate(reembed(world)["version"], actor="ann", force=True)
    late = ingest(world, tmp_path / "bulk", 100, 101, weights=True)
    assert build(world)
    assert found(world) == {*first, *late}
    with world.catalog.tenant(T) as tx:
        builtin = next(v for v in indexes.list_versions(tx) if v.space_id != world.second.id)
    versions.activate(reembed_builtin(world)["version"], actor="ann", force=True)
    assert found(world) == {*first, *late}, "once it was caught up with, nothing is lost"
    assert versions.rollback(actor="ann").lacking == 0
    ingest(world, tmp_path / "bulk", 102, weights=True)
    build(world)
    back = versions.rollback(actor="ann")
    assert (back.to_space, back.lacking) == (world.second.id, 1)
    assert versions.state().last == back and builtin.space_id != back.to_space


def reembed_builtin(world: Uploads) -> dict:
    from pipelines import reembed

    return reembed.run(world.config, "builtin")


def test_the_new_space_has_cutoffs_of_its_own_before_it_serves(world):
    world.add(*range(42))
    build(world)
    done = reembed(world)
    with world.catalog.tenant(T) as tx:
        known = thresholds.get_all(tx, done["space"])
    assert "search.image" in known


def test_an_older_version_of_the_space_must_hold_what_is_found_now(world, tmp_path):
    world.add(*range(3))
    old = build(world)
    ingest(world, tmp_path / "bulk", 110)
    versions = versions_of(world)
    build(world)
    with pytest.raises(ConflictError, match=r"lacks 1 of 4 photos that are found now.*index build"):
        versions.activate(old, actor="ann")
    with world.catalog.tenant(T) as tx:
        table = rows.photos(rows.photo("file:///plain.jpg", "plain", status="partial"))
        photos.copy_part(tx, "without-vectors", 0, table, rows.rejects())
    assert versions.rollback(actor="ann").lacking == 1


def test_an_upload_that_the_second_encoder_cannot_take_does_not_stop_the_queue(world):
    world.add(1)
    build(world)
    reembed(world)

    class Broken:
        space = world.second
        short_side = 32

        def encode_images(self, images):
            raise ValueError("not this one")

    class Encoders:
        def of(self, space):
            return Broken()

    world.ingestor._encoders = Encoders()
    (photo_id,) = world.add(2)
    with world.catalog.tenant(T) as tx:
        photo = photos.get(tx, photo_id)
    assert photo is not None and photo.status in ("ready", "partial")
    assert reembed(world)["added"] == 1


def test_damaged_files_are_said_to_be(world):
    world.add(*range(3))
    build(world)
    done = reembed(world)
    coverage = Coverage(world.store, world.catalog, T)
    found = version(world, done)
    path = Path(world.store.root, found.location, file_name(0, "ids"))
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(IndexCorruptError, match="truncated"):
        coverage.gap(found)
    path.unlink()
    with pytest.raises(NotFoundError):
        coverage.gap(found)
