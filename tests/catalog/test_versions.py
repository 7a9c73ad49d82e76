"""Spaces, index versions and the audit log."""

from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest

from photoorg.errors import CatalogError, ConflictError, NotFoundError
from photoorg.models import IndexStatus, IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, audit, indexes, spaces
from tests.threads import at_once

pytestmark = pytest.mark.postgres
SPACE = EmbeddingSpace("tiny", "enc", "w", "1", "p", 8, modalities=("image", "text"))
FACES = EmbeddingSpace("faces", "enc", "w", "1", "p", 4, kind="face")


def version(name: str, status: IndexStatus = "shadow", space: str = "s") -> IndexVersion:
    when = datetime(2024, 1, int(name) + 1, tzinfo=UTC)
    return IndexVersion("a", space, name, status, f"a/indexes/{space}/{name}", 10, 4, when, 0.97)


def make(catalog: Catalog, *versions: IndexVersion) -> None:
    with catalog.tenant("a") as tx:
        for number, each in enumerate(versions):
            indexes.create(tx, each, delta_seq=number)


def test_a_version_comes_back_with_the_event_it_ends_at(catalog: Catalog) -> None:
    make(catalog, version("1", "building"), version("2"))
    with catalog.tenant("a") as tx:
        assert indexes.get(tx, "s", "2") == (version("2"), 1)
        assert indexes.get(tx, "s", "3") is None
        assert [v.version for v in indexes.list_versions(tx)] == ["2", "1"]
        assert indexes.list_versions(tx, "other") == []
        assert indexes.active(tx, "s") is None


def test_activating_a_version_deprecates_the_one_before(catalog: Catalog) -> None:
    make(catalog, version("1"), version("2"), version("1", space="other"))
    for name in ("1", "2", "2"):
        with catalog.tenant("a") as tx:
            indexes.activate(tx, "s", name)
    with catalog.tenant("a") as tx:
        found = indexes.active(tx, "s")
        assert found is not None and (found[0].version, found[1]) == ("2", 1)
        states = {v.version: v.status for v in indexes.list_versions(tx, "s")}
        assert states == {"1": "deprecated", "2": "active"}
        indexes.activate(tx, "other", "1")
        indexes.activate(tx, "s", "1")  # back again
        assert {v.status for v in indexes.list_versions(tx, "other")} == {"active"}


def test_two_cutovers_at_once_leave_one_active_version(catalog: Catalog) -> None:
    make(catalog, *(version(str(n)) for n in range(6)))

    def activate(name: str) -> None:
        with catalog.tenant("a") as tx:
            indexes.activate(tx, "s", name)

    at_once(*(partial(activate, str(n)) for n in range(6)))
    with catalog.tenant("a") as tx:
        assert [v.status for v in indexes.list_versions(tx)].count("active") == 1


def test_the_database_itself_refuses_a_second_active_version(catalog: Catalog) -> None:
    make(catalog, version("1"), version("2"))
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        try:
            with catalog.tenant("a") as tx:
                tx.conn.execute("UPDATE index_versions SET status = 'active'")
        except CatalogError as error:
            assert error.__cause__ is not None
            raise error.__cause__ from None
    assert "one_active" in str(caught.value)


def test_what_cannot_serve_cannot_be_activated(catalog: Catalog) -> None:
    make(catalog, version("1", "building"), version("2"))
    with catalog.tenant("a") as tx:
        indexes.set_status(tx, "s", "2", "deleted")
    for name in ("1", "2"):
        with pytest.raises(ConflictError, match="cannot serve"), catalog.tenant("a") as tx:
            indexes.activate(tx, "s", name)
    for status in ("active", "shadow"):
        with pytest.raises(NotFoundError), catalog.tenant("a") as tx:
            indexes.set_status(tx, "s", "9", status)


def test_a_version_name_is_given_once(catalog: Catalog) -> None:
    make(catalog, version("1"))
    with catalog.tenant("a") as tx:
        with pytest.raises(ConflictError, match="already"):
            indexes.create(tx, version("1"), 0)
        assert len(indexes.list_versions(tx)) == 1


def test_spaces_are_registered_once_and_one_is_the_default_of_its_kind(catalog: Catalog) -> None:
    with catalog.tenant("a") as tx:
        for _ in range(2):
            spaces.register(tx, SPACE)
            spaces.register(tx, FACES)
        assert spaces.get_default(tx, "image") is None
        spaces.set_default(tx, SPACE.id, "image")
        spaces.set_default(tx, FACES.id, "face")
        found = spaces.get_default(tx, "image")
        assert found == SPACE and found is not None and found.has_text
        assert spaces.get_default(tx, "face") == FACES
        assert {s.id for s in spaces.list_spaces(tx)} == {SPACE.id, FACES.id}
        assert spaces.get(tx, "none") is None


@pytest.mark.parametrize(("space_id", "kind"), [("none", "image"), (SPACE.id, "face")])
def test_a_default_must_be_a_known_space_of_that_kind(
    catalog: Catalog, space_id: str, kind: str
) -> None:
    with pytest.raises(NotFoundError), catalog.tenant("a") as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, space_id, kind)  # type: ignore[arg-type]


def test_audit_entries_go_with_the_change_they_tell_of(catalog: Catalog) -> None:
    with catalog.tenant("a") as tx:
        audit.record(tx, "ann", "photo.delete", "photo", "1", {"why": "ü\"'"})
    with pytest.raises(RuntimeError), catalog.tenant("a") as tx:
        audit.record(tx, "ann", "photo.delete", "photo", "2")
        raise RuntimeError
    with catalog.tenant("a") as tx:
        found = tx.conn.execute("SELECT actor, entity_id, detail FROM audit_log").fetchall()
    assert found == [("ann", "1", {"why": "ü\"'"})]
