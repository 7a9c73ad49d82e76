"""A catalog of a million photos with words in minutes: COPY, then all words in one pass.

The catalog's triggers write the words of each photo when it comes, a few thousand photos a second.
Here they are off (`session_replication_role`), and the same rows are made by the same functions in
bulk: captions, text in pictures, tags, named people, and places of events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

THREADS = 2
FIRST_DAY = datetime(2008, 1, 1, tzinfo=UTC)
DEVICES = (("Canon", "EOS R6"), ("Apple", "iPhone 13"), ("Google", "Pixel 7"), ("NIKON", "Z 6"))
PHOTOS = (
    "tenant_id, photo_id, uri, uri_key, filename, mime, size, width, height, status, quality,"
    " sharpness, exposure, contrast, resolution, captured_at, captured_offset_minutes, latitude,"
    " longitude, make, model, caption, ocr_text"
)
TEXTS = """
INSERT INTO photo_texts (tenant_id, photo_id, document)
SELECT p.tenant_id, p.photo_id, photoorg_document(p.tenant_id, p)
FROM photos p WHERE p.tenant_id = %s AND get_byte(p.photo_id, 0) %% %s = %s
"""
POSTINGS = """
INSERT INTO text_postings (tenant_id, word, weight, text_no)
SELECT t.tenant_id, f.word, f.weight, t.text_no
FROM photo_texts t, photoorg_postings(t.document) f
WHERE t.tenant_id = %(tenant)s
UNION ALL
SELECT e.tenant_id, f.word, f.weight, -e.event_id
FROM events e, photoorg_event_postings(photoorg_said_of_event(e.title, e.place, e.trip_title)) f
WHERE e.tenant_id = %(tenant)s
ORDER BY 1, 2, 3, 4
"""
GRAMS = """
INSERT INTO text_grams (tenant_id, gram, word, lane)
SELECT %(tenant)s, g.gram, w.word, 0 FROM (SELECT DISTINCT word FROM text_postings
    WHERE tenant_id = %(tenant)s AND word ~ '^[^0-9]{4,}$') w, photoorg_grams(w.word) g
"""
TABLES = "photos, photo_texts, tags, photo_tags, persons, faces, face_people, events, event_photos"


@dataclass(frozen=True)
class Library:
    """What is said of n photos: everything by row, -1 where nothing is.

    `label_nk` are numbers into `labels` (0 does not occur twice in a row), `name_n` into `names`,
    `event_n` numbers events, whose places are `place_e` into `places`. `day_n` counts from
    FIRST_DAY.
    """

    captions: Sequence[str]
    ocr: Mapping[int, str]
    labels: Sequence[str]
    label_nk: NDArray[np.int64]
    names: Sequence[str]
    name_n: NDArray[np.int64]
    places: Sequence[str]
    place_e: NDArray[np.int64]
    event_n: NDArray[np.int64]
    day_n: NDArray[np.int64]
    quality_n: NDArray[np.float32]
    latitude_n: NDArray[np.float64]
    longitude_n: NDArray[np.float64]


def fill(url: str, tenant: str, ids: Sequence[str], library: Library) -> None:
    """Photos with everything that is said of them, and their words; `url` is the superuser's."""
    keys = [bytes.fromhex(i) for i in ids]
    with _connect(url) as conn:
        conn.execute("INSERT INTO tenants (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant])
        _copy(conn, "photos", PHOTOS, _photos(tenant, keys, library))
        _tags(conn, tenant, keys, library)
        _people(conn, tenant, keys, library)
        _events(conn, tenant, keys, library)
        conn.execute(f"VACUUM ANALYZE {TABLES}".encode())

    def texts(part: int) -> None:
        with _connect(url) as conn:
            conn.execute(TEXTS, [tenant, THREADS, part])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(texts, range(THREADS)))
    with _connect(url) as conn:
        conn.execute("VACUUM ANALYZE photo_texts")
        conn.execute(POSTINGS, {"tenant": tenant})
        conn.execute(GRAMS, {"tenant": tenant})
        conn.execute("VACUUM ANALYZE text_postings, text_grams")


def _photos(tenant: str, keys: Sequence[bytes], library: Library) -> Iterable[Sequence[Any]]:
    for n, key in enumerate(keys):
        name = f"IMG_{n:07d}.jpg"
        taken = FIRST_DAY + timedelta(days=int(library.day_n[n]), hours=8 + n % 12)
        yield (
            *(tenant, key, f"file:///{name}", key[:16], name, "image/jpeg", 1, 4, 3, "ready"),
            *[float(library.quality_n[n])] * 5,
            *(taken, 60, float(library.latitude_n[n]), float(library.longitude_n[n])),
            *DEVICES[n % len(DEVICES)],
            *(library.captions[n], library.ocr.get(n)),
        )


def _tags(
    conn: psycopg.Connection[Any], tenant: str, keys: Sequence[bytes], library: Library
) -> None:
    numbers = _numbered(conn, "tags", "tag_id", "label", tenant, library.labels)
    rows = (
        (tenant, key, numbers[label], 1.0, "prompts")
        for key, said in zip(keys, library.label_nk.tolist(), strict=True)
        for label in set(said)
    )
    _copy(conn, "photo_tags", "tenant_id, photo_id, tag_id, score, source", rows)


def _people(
    conn: psycopg.Connection[Any], tenant: str, keys: Sequence[bytes], library: Library
) -> None:
    numbers = _numbered(conn, "persons", "person_id", "name", tenant, library.names)
    shown = np.flatnonzero(library.name_n >= 0).tolist()
    columns = "tenant_id, photo_id, face_no, box, landmarks, score, quality, space_id"
    box, marks = [0.1, 0.1, 0.2, 0.2], [0.0] * 10
    _copy(conn, "faces", columns, ((tenant, keys[n], 0, box, marks, 0.9, 0.8, "f") for n in shown))
    rows = ((tenant, keys[n], 0, numbers[int(library.name_n[n])], "cluster") for n in shown)
    _copy(conn, "face_people", "tenant_id, photo_id, face_no, person_id, source", rows)


def _events(
    conn: psycopg.Connection[Any], tenant: str, keys: Sequence[bytes], library: Library
) -> None:
    rows = ((tenant, e + 1, library.places[p]) for e, p in enumerate(library.place_e.tolist()))
    _copy(conn, "events", "tenant_id, event_id, place", rows)
    links = ((tenant, key, e + 1) for key, e in zip(keys, library.event_n.tolist(), strict=True))
    _copy(conn, "event_photos", "tenant_id, photo_id, event_id", links)


def _numbered(
    conn: psycopg.Connection[Any],
    table: str,
    number: str,
    column: str,
    tenant: str,
    said: Sequence[str],
) -> list[int]:
    """The numbers of rows made for these words, in their order."""
    made = conn.execute(
        f"INSERT INTO {table} (tenant_id, {column}) SELECT %s, s FROM"
        f" unnest(%s::text[]) WITH ORDINALITY u(s, n) ORDER BY n RETURNING {number}".encode(),
        [tenant, list(said)],
    )
    return [int(n) for (n,) in made]


def _copy(
    conn: psycopg.Connection[Any], table: str, columns: str, rows: Iterable[Sequence[Any]]
) -> None:
    with conn.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:  # type: ignore[arg-type]
        for row in rows:
            copy.write_row(row)


def _connect(url: str) -> psycopg.Connection[Any]:
    conn = psycopg.connect(url, autocommit=True)
    conn.execute("SET session_replication_role = replica")
    conn.execute("SET work_mem = '512MB'")
    conn.execute("SET maintenance_work_mem = '512MB'")
    conn.execute("SET synchronous_commit = off")
    conn.execute("SET statement_timeout = 0")
    return conn
