"""Photos found by the words that the catalog keeps of them."""

import pytest

from photoorg.search.text import find_words
from photoorg.store.catalog import Catalog, photos, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
TEXTS = {
    "beach": {"title": "Sunset on the beach", "caption": "Two dogs playing in the waves"},
    "board": {"caption": "A surfboard", "ocr_text": "beach closed"},
    "plain": {"title": "Mountains"},
}


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    with catalog.tenant("a") as tx:
        made = [rows.photo(name) for name in TEXTS]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        for name, columns in TEXTS.items():
            for column, text in columns.items():
                tx.conn.execute(
                    f"UPDATE photos SET {column} = %s WHERE photo_id = decode(%s, 'hex')".encode(),
                    [text, rows.photo_id(name)],
                )
    return catalog


def found(catalog: Catalog, text: str, tenant: str = "a") -> list[str]:
    names = {rows.photo_id(name): name for name in TEXTS}
    with catalog.tenant(tenant) as tx:
        return [names[i] for i in find_words(tx, text, 10).ids]


def test_a_title_weighs_more_than_text_in_the_picture(library: Catalog) -> None:
    assert found(library, "beach") == ["beach", "board"]


@pytest.mark.parametrize("text", ["dog", "DOGS", "playing", "wave"])
def test_words_are_found_in_other_forms(library: Catalog, text: str) -> None:
    assert found(library, text) == ["beach"]


def test_the_beginning_of_a_word_and_a_slip_of_the_pen_find_it_too(library: Catalog) -> None:
    assert found(library, "mount") == ["plain"]
    assert found(library, "montains") == ["plain"]


def test_nonsense_and_words_of_others_find_nothing(library: Catalog) -> None:
    assert found(library, "qzxv wvut") == []
    assert found(library, "beach", tenant="b") == []
    assert found(library, "") == []


def test_changed_words_and_the_trash_count_at_once(library: Catalog) -> None:
    with library.tenant("a") as tx:
        tx.conn.execute("UPDATE photos SET title = 'Hills' WHERE title = 'Mountains'")
        trash.put(tx, [rows.photo_id("beach")])
    assert found(library, "hills") == ["plain"]
    assert found(library, "mountains") == []
    assert found(library, "beach") == ["board"]
