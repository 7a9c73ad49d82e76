"""Tags of machines and people: who wins, what is remembered, and finding them again."""

import hashlib

import numpy as np
import pytest

from photoorg.config import StorageConfig
from photoorg.encoders.prompts import Category, Tagger, open_tagger
from photoorg.errors import InputError, NotFoundError
from photoorg.models import PhotoTag
from photoorg.space import EmbeddingSpace
from photoorg.stages.tags import recompute
from photoorg.stages.vectors import vector_table
from photoorg.store.catalog import Catalog, delta, photos, tags
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from tests.catalog import rows

pytestmark = pytest.mark.postgres
NONE = rows.rejects()
ONE, TWO = rows.photo_id("1"), rows.photo_id("2")


def load(catalog: Catalog, part: int, *made: dict, stages: bytes | None = None) -> None:
    table = rows.photos(*made)
    if stages is not None:
        table = table.replace_schema_metadata({**table.schema.metadata, b"photoorg.stages": stages})
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", part, table, NONE)


def machine(label: str, category: str = "object", score: float = 0.9) -> dict:
    return {"category": category, "label": label, "score": score}


def found(catalog: Catalog, photo_id: str, tenant: str = "a") -> dict[str, tuple[str, str]]:
    with catalog.tenant(tenant) as tx:
        return {t.label: (t.category, t.source) for t in tags.of_photos(tx, [photo_id])[photo_id]}


def put(catalog: Catalog, photo_id: str, *made: PhotoTag) -> None:
    with catalog.tenant("a") as tx:
        tags.replace(tx, {photo_id: list(made)})


def test_what_the_stages_made_is_loaded_and_kept_when_another_runs_alone(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1", ocr_text="Exit", nsfw=0.25, tags=[machine("dog")]))
    load(catalog, 1, rows.photo("1", pdq=None, quality=None, ocr_text="Exit 2"), stages=b"ocr")
    with catalog.tenant("a") as tx:
        photo = photos.get(tx, ONE)
    assert photo is not None and (photo.ocr_text, photo.nsfw) == ("Exit 2", 0.25)
    assert photo.hashes is not None and photo.quality is not None
    assert found(catalog, ONE) == {"dog": ("object", "zero-shot")}
    load(catalog, 2, rows.photo("1", ocr_text="", tags=[]))
    with catalog.tenant("a") as tx:
        photo = photos.get(tx, ONE)
    assert photo is not None and photo.ocr_text == "" and photo.nsfw == 0.25
    assert found(catalog, ONE) == {}


def test_a_part_of_an_older_version_loads(catalog: Catalog) -> None:
    table = rows.photos(rows.photo("1")).drop_columns(["ocr_text", "nsfw", "tags"])
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, table, NONE)
        photo = photos.get(tx, ONE)
    assert photo is not None and (photo.ocr_text, photo.nsfw) == (None, None)


def test_a_failed_stage_leaves_the_photo_partial_until_it_succeeds(catalog: Catalog) -> None:
    broken = rows.photo("1", status="partial", failures=[rows.failure("1", "tags")])
    load(catalog, 0, broken)
    with catalog.tenant("a") as tx:
        assert photos.count(tx, "partial") == 1
        tags.replace(tx, {ONE: [PhotoTag("dog", "object", 0.9)]})
        assert photos.count(tx, "partial") == 0 and photos.failures(tx, ONE) == []


def test_another_failure_keeps_it_partial(catalog: Catalog) -> None:
    failures = [rows.failure("1", "tags"), rows.failure("1", "ocr")]
    load(catalog, 0, rows.photo("1", status="partial", failures=failures))
    put(catalog, ONE)
    with catalog.tenant("a") as tx:
        assert [f.stage for f in photos.failures(tx, ONE)] == ["ocr"]
        assert photos.count(tx, "partial") == 1


def test_people_win_over_machines(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1", tags=[machine("dog"), machine("cat"), machine("tree")]))
    with catalog.tenant("a") as tx:
        assert tags.add(tx, "me", ONE, "  Dog ") and not tags.add(tx, "me", ONE, "dog")
        assert tags.add(tx, "me", ONE, "Aunt Ida's", "people")
        assert tags.remove(tx, "me", ONE, "cat") and not tags.remove(tx, "me", ONE, "cat")
    put(catalog, ONE, PhotoTag("cat", "object", 0.99), PhotoTag("dog", "object", 0.8))
    assert found(catalog, ONE) == {"dog": ("object", "user"), "aunt ida's": ("people", "user")}
    with catalog.tenant("a") as tx:
        assert tags.add(tx, "me", ONE, "cat") and tags.remove(tx, "me", ONE, "dog")
    put(catalog, ONE, PhotoTag("cat", "object", 0.99), PhotoTag("dog", "object", 0.8))
    assert found(catalog, ONE) == {"cat": ("object", "user"), "aunt ida's": ("people", "user")}


def test_a_tag_that_a_person_gave_first_gets_the_machines_category(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1"), rows.photo("2"))
    with catalog.tenant("a") as tx:
        tags.add(tx, "me", ONE, "beach")
    put(catalog, TWO, PhotoTag("beach", "setting", 0.7))
    assert found(catalog, ONE) == {"beach": ("setting", "user")}
    put(catalog, TWO, PhotoTag("beach", "object", 0.7))
    assert found(catalog, TWO) == {"beach": ("setting", "zero-shot")}


def test_mapping_moves_a_tag_on_every_photo_and_unmapping_moves_it_back(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1", tags=[machine("beach", "setting")]), rows.photo("2"))
    with catalog.tenant("a") as tx:
        assert tags.map_category(tx, "me", "Beach", "Holiday") == "setting"
        assert tags.map_category(tx, "me", "beach", "sea") == "holiday"
    put(catalog, TWO, PhotoTag("beach", "setting", 0.7))
    assert found(catalog, ONE)["beach"][0] == found(catalog, TWO)["beach"][0] == "sea"
    with catalog.tenant("a") as tx:
        assert [t.label for t in tags.page(tx, category="sea")[0]] == ["beach"]
        assert tags.page(tx, category="setting")[0] == []
        assert tags.unmap_category(tx, "me", "beach") == "sea"
        assert tags.unmap_category(tx, "me", "beach") == "setting"
    assert found(catalog, ONE)["beach"][0] == "setting"
    with catalog.tenant("a") as tx, pytest.raises(NotFoundError):
        tags.map_category(tx, "me", "unknown", "sea")


def test_every_change_of_a_person_is_in_the_audit_log(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1", tags=[machine("dog", score=0.5)]))
    with catalog.tenant("a") as tx:
        tags.add(tx, "me", ONE, "cat")
        tags.add(tx, "me", ONE, "cat")
        tags.remove(tx, "me", ONE, "dog")
        tags.map_category(tx, "me", "cat", "pets")
        tags.unmap_category(tx, "me", "cat")
        log = tx.conn.execute(
            "SELECT actor, action, entity_id, detail FROM audit_log ORDER BY audit_id"
        )
        entries = log.fetchall()
    assert [e[:3] for e in entries] == [
        ("me", "photo.tag", ONE),
        ("me", "photo.untag", ONE),
        ("me", "tag.map", "cat"),
        ("me", "tag.unmap", "cat"),
    ]
    assert entries[1][3] == {"label": "dog", "source": "zero-shot", "score": 0.5}
    assert entries[2][3] == {"from": "", "to": "pets"}


def test_pages_hold_every_tag_once_with_its_counts(catalog: Catalog) -> None:
    load(
        catalog,
        0,
        *(rows.photo(str(n), tags=[machine(f"t{k}") for k in range(n + 1)]) for n in range(7)),
    )
    with catalog.tenant("a") as tx:
        tags.add(tx, "me", rows.photo_id("0"), "t6")
        seen, after = [], None
        while True:
            page, after = tags.page(tx, after=after, limit=3)
            seen += [(t.label, t.photos, t.given) for t in page]
            if after is None:
                break
    assert seen == [(f"t{k}", 7 - k + (k == 6), int(k == 6)) for k in range(7)]


def test_tenants_see_and_change_only_their_own(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1", tags=[machine("dog")]))
    with catalog.tenant("b") as tx:
        assert tags.page(tx)[0] == [] and tags.of_photos(tx, [ONE]) == {ONE: []}
        for change in (tags.add, tags.remove):
            with pytest.raises(NotFoundError):
                change(tx, "me", ONE, "dog")
        with pytest.raises(NotFoundError):
            tags.map_category(tx, "me", "dog", "pets")


def test_labels_that_are_none_are_refused_and_odd_ones_kept(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("1"))
    with catalog.tenant("a") as tx:
        for label in ("", "  \n", "\0", "x" * 101):
            with pytest.raises(InputError):
                tags.add(tx, "me", ONE, label)
        tags.add(tx, "me", ONE, "a/b\\c, \"d\" 'e' \N{GRINNING FACE} Ω")
    assert list(found(catalog, ONE)) == ["a/b\\c, \"d\" 'e' \N{GRINNING FACE} ω"]


def test_photos_that_are_gone_are_passed_over(catalog: Catalog) -> None:
    put(catalog, ONE, PhotoTag("dog", "object", 0.9))
    assert found(catalog, ONE) == {}


SPACE = EmbeddingSpace("axes", "fake", "none", "1", "none", 4, modalities=("image", "text"))


class Axes:
    """A fake encoder whose texts `0` to `3` are the axes."""

    space = SPACE
    short_side = 1

    def encode_images(self, images):
        raise AssertionError("no pixels are needed")

    def encode_texts(self, texts):
        return np.eye(4, dtype=np.float32)[[int(text) for text in texts]]


def axes(*names: str) -> Tagger:
    given = {name: str(n) for n, name in enumerate(names)}
    spec = {"category": "axis", "select": "single", "templates": ["{}"], "tags": given}
    return open_tagger(Axes(), [Category.model_validate(spec)])


def test_tags_are_found_again_from_stored_vectors_alone(catalog: Catalog, tmp_path) -> None:
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    ids = [rows.photo_id(str(n)) for n in range(5)]
    load(catalog, 0, *(rows.photo(str(n), tags=[machine("old")]) for n in range(5)))
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    run = Run(store, vectors_dir("a", SPACE.id, "r1"))
    run.write_part(0, vector_table(SPACE, ids[:4], vectors))
    run.write_part(1, vector_table(SPACE, [hashlib.sha256(b"gone").hexdigest()], vectors[:1]))
    with catalog.tenant("a") as tx:
        tags.add(tx, "me", ids[1], "mine")
        delta.lock(tx)
        delta.add(tx, SPACE.id, [ids[3]], vectors[:1])
    steps: list[tuple[int, int]] = []
    tagger = axes("north", "east", "south")
    done = recompute(catalog, store, "a", tagger, progress=lambda *s: steps.append(s))
    assert (done.photos, done.space) == (4, SPACE.id) and steps[-1] == (4, 5)
    assert list(found(catalog, ids[0])) == ["north"]
    assert list(found(catalog, ids[1])) == ["mine", "east"]
    assert list(found(catalog, ids[3])) == ["north"], "the change log is newer than the run"
    assert list(found(catalog, ids[4])) == ["old"], "a photo without a vector keeps what it had"
    again = recompute(catalog, store, "a", axes("up", "down", "left"))
    assert again.photos == 4 and list(found(catalog, ids[1])) == ["mine", "down"]
    assert list(store.list("a/runs")) == [], "nothing is left behind"


def test_thousands_of_photos_are_tagged_again_before_the_statement_limit(catalog: Catalog) -> None:
    """Staged tags compared one by one with each other ran into the time limit of a statement."""
    count = 2_000
    load(catalog, 0, *(rows.photo(str(n)) for n in range(count)))
    for turn in range(2):
        made = {
            rows.photo_id(str(n)): [
                PhotoTag(f"t{(n + k + turn) % 100}", "c", 0.5) for k in range(5)
            ]
            for n in range(count)
        }
        with catalog.tenant("a") as tx:
            tags.replace(tx, made)
    with catalog.tenant("a") as tx:
        found, _ = tags.page(tx, limit=200)
    assert len(found) == 100 and sum(t.photos for t in found) == 5 * count
