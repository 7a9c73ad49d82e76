"""A catalog of a million photos with words in minutes: COPY, then all words in one pass.

The catalog's triggers write the words of each photo when it comes, a few thousand photos a second.
Here they are off (`session_replication_role`), and the same rows are made by the same functions in
bulk; a sample is compared with what the triggers would have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

THREADS = 2
COMPARED = 500
COLUMNS = (
    "tenant_id, photo_id, uri, uri_key, filename, mime, size, width, height, status, quality,"
    " sharpness, exposure, contrast, resolution, caption"
)
TEXTS = r"""
INSERT INTO photo_texts (tenant_id, photo_id, document)
SELECT tenant_id, photo_id, setweight(to_tsvector('english', photoorg_words(caption)), 'B')
    || setweight(to_tsvector('simple',
        photoorg_words(regexp_replace(filename, '\.[^.]*$', ''))), 'D')
FROM photos WHERE tenant_id = %s AND get_byte(photo_id, 0) %% %s = %s
"""
POSTINGS = """
INSERT INTO text_postings (tenant_id, word, weight, text_no)
SELECT t.tenant_id, f.word, f.weight, t.text_no
FROM photo_texts t, photoorg_postings(t.document) f
WHERE t.tenant_id = %s ORDER BY f.word, f.weight, t.text_no
"""
GRAMS = """
INSERT INTO text_grams (tenant_id, gram, word, lane)
SELECT %(tenant)s, g.gram, w.word, 0 FROM (SELECT DISTINCT word FROM text_postings
    WHERE tenant_id = %(tenant)s AND word ~ '^[^0-9]{4,}$') w, photoorg_grams(w.word) g
"""
DIFFERENT = """
SELECT count(*) FROM (SELECT * FROM photos WHERE tenant_id = %(tenant)s
    ORDER BY photo_id LIMIT %(most)s) p
LEFT JOIN photo_texts t USING (tenant_id, photo_id)
WHERE t.document IS DISTINCT FROM photoorg_document(%(tenant)s, ROW(p.*)::photos)
"""


def fill(url: str, tenant: str, ids: Sequence[str], captions: Sequence[str]) -> None:
    """Photos with captions and file names, and their words; `url` is the superuser's."""
    with _connect(url) as conn:
        conn.execute("INSERT INTO tenants (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant])
        with (
            conn.cursor() as cursor,
            cursor.copy(f"COPY photos ({COLUMNS}) FROM STDIN".encode()) as copy,
        ):
            for number, (photo_id, said) in enumerate(zip(ids, captions, strict=True)):
                key = bytes.fromhex(photo_id)
                name = f"IMG_{number:07d}.jpg"
                file = (f"file:///{name}", key[:16], name, "image/jpeg", 1, 4, 3, "ready")
                copy.write_row((tenant, key, *file, *[0.5] * 5, said))

    def texts(part: int) -> None:
        with _connect(url) as conn:
            conn.execute(TEXTS, [tenant, THREADS, part])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(texts, range(THREADS)))
    with _connect(url) as conn:
        conn.execute("VACUUM ANALYZE photos, photo_texts")
        conn.execute(POSTINGS, [tenant])
        conn.execute(GRAMS, {"tenant": tenant})
        conn.execute("VACUUM ANALYZE text_postings, text_grams")
        row = conn.execute(DIFFERENT, {"tenant": tenant, "most": COMPARED}).fetchone()
        assert row == (0,), "the words are those that the triggers write"


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    conn = psycopg.connect(url, autocommit=True)
    conn.execute("SET session_replication_role = replica")
    conn.execute("SET work_mem = '512MB'")
    conn.execute("SET maintenance_work_mem = '512MB'")
    conn.execute("SET synchronous_commit = off")
    conn.execute("SET statement_timeout = 0")
    return conn
