"""Conditions on photos as SQL with parameters: no text of a rule ever becomes part of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

DUPLICATE = """
    FROM duplicate_members m JOIN duplicate_groups g USING (tenant_id, group_id)
    WHERE m.tenant_id = p.tenant_id AND m.photo_id = p.photo_id AND g.status = 'open'
        AND g.keeper_id <> p.photo_id AND EXISTS (SELECT FROM photos k
            WHERE k.tenant_id = g.tenant_id AND k.photo_id = g.keeper_id
            AND k.trashed_at IS NULL AND k.archived_at IS NULL)
"""
NUMBERS = {
    "quality": "p.quality",
    "sharpness": "p.sharpness",
    "exposure": "p.exposure",
    "contrast": "p.contrast",
    "resolution": "p.resolution",
    "nsfw": "p.nsfw",
    "width": "p.width",
    "height": "p.height",
    "megapixels": "(p.width::float8 * p.height / 1e6)",
    "size": "p.size",
    "age_days": "(extract(epoch FROM now() - p.captured_at) / 86400)",
    "duplicate_confidence": f"(SELECT max(m.confidence) {DUPLICATE})",
    "anomaly": "(SELECT a.score FROM anomalies a WHERE a.tenant_id = p.tenant_id"
    " AND a.photo_id = p.photo_id AND a.status = 'open')",
}
TEXTS = {
    "filename": ("p.filename", ""),
    "uri": ("p.uri", ""),
    "mime": ("p.mime", ""),
    "make": ("p.make", ""),
    "model": ("p.model", ""),
    "title": ("p.title", ""),
    "caption": ("p.caption", ""),
    "ocr_text": ("p.ocr_text", ""),
    "tag": (
        "t.label",
        "photo_tags x JOIN tags t USING (tenant_id, tag_id)",
    ),
    "album": ("t.name", "album_photos x JOIN albums t USING (tenant_id, album_id)"),
    "event": (
        "coalesce(t.title, t.auto_title)",
        "event_photos x JOIN events t USING (tenant_id, event_id)",
    ),
}
YES_NO = {
    "near_duplicate": f"EXISTS (SELECT {DUPLICATE})",
    "favourite": "p.favourite",
    "archived": "(p.archived_at IS NOT NULL)",
    "located": "(p.latitude IS NOT NULL)",
    "dated": "(p.captured_at IS NOT NULL)",
    "in_album": "EXISTS (SELECT FROM album_photos x WHERE x.tenant_id = p.tenant_id"
    " AND x.photo_id = p.photo_id)",
}
OPERATORS = ("<", ">", "=", ">=")
TIMES = ("captured_at", "created_at")


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on `photos p` and its parameters in order; `asks` names the fields it uses."""

    sql: str
    values: tuple[Any, ...] = ()
    asks: frozenset[str] = frozenset()

    @classmethod
    def number(cls, field: str, operator: str, value: float) -> Where:
        """A number against a bound; false where there is none. Single precision as stored."""
        assert operator in OPERATORS, operator
        sql = f"coalesce({NUMBERS[field]}::float8 {operator} %s::float8, false)"
        if field in ("quality", "sharpness", "exposure", "contrast", "resolution", "nsfw"):
            sql = f"coalesce({NUMBERS[field]} {operator} %s::real, false)"
        return cls(sql, (value,), frozenset({field}))

    @classmethod
    def text(cls, field: str, way: str, value: str) -> Where:
        """A text that is, contains or starts with a value, whatever the case."""
        column, source = TEXTS[field]
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        pattern = {"is": escaped, "contains": f"%{escaped}%", "starts": f"{escaped}%"}[way]
        sql = f"coalesce({column} ILIKE %s, false)"
        if source:
            sql = (
                f"EXISTS (SELECT FROM {source} WHERE x.tenant_id = p.tenant_id"
                f" AND x.photo_id = p.photo_id AND {column} ILIKE %s)"
            )
        return cls(sql, (pattern.replace("\0", ""),), frozenset({field}))

    @classmethod
    def time(cls, field: str, operator: str, value: datetime) -> Where:
        """A moment against a bound; false where there is none."""
        assert operator in OPERATORS and field in TIMES
        sql = f"coalesce(p.{field} {operator} %s::timestamptz, false)"
        return cls(sql, (value,), frozenset({field}))

    @classmethod
    def yes_no(cls, field: str, wanted: bool) -> Where:
        """Something that is or is not so."""
        sql = YES_NO[field] if wanted else f"NOT {YES_NO[field]}"
        return cls(sql, (), frozenset({field}))

    @classmethod
    def all(cls, parts: Sequence[Where]) -> Where:
        """Every part holds."""
        return cls._joined(" AND ", parts)

    @classmethod
    def any(cls, parts: Sequence[Where]) -> Where:
        """One part holds."""
        return cls._joined(" OR ", parts)

    @classmethod
    def negated(cls, part: Where) -> Where:
        """The part does not hold."""
        return cls(f"NOT ({part.sql})", part.values, part.asks)

    @classmethod
    def _joined(cls, word: str, parts: Sequence[Where]) -> Where:
        return cls(
            "(" + word.join(part.sql for part in parts) + ")",
            tuple(value for part in parts for value in part.values),
            frozenset().union(*(part.asks for part in parts)),
        )
