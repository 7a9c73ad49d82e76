"""Cursors: where a search stands between two pages, in the cursor itself and nowhere else.

No server keeps anything for a page, so a cursor works on every replica, after a restart, and for as
long as its question can be asked. What makes pages stable is not a copy of the library but what the
cursor carries: the time of the first page, after which photos came that are left out; the cosines
between which the next hits lie; and the first 8 bytes of the id of every photo given that could
come up again, folded ones included. So nothing repeats, and nothing that was there is passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from photoorg.errors import InputError

VERSION = 1
HEAD = struct.Struct(">B8sqddI")
MARK = 8
MAX_GIVEN = 4_000
"""A cursor of so many marks has 43 kB: more fits no header, and nobody looks at so many hits."""


@dataclass(frozen=True, slots=True)
class Position:
    """Between two pages of the question `question`, whose first page was asked for `at`.

    The current window of candidates has cosines from `floor` (None: not chosen yet) to `ceiling`
    (None: the best); about `above` candidates are over it. `given` are marks of photos already
    given.
    """

    question: bytes
    at: datetime
    given: frozenset[bytes] = frozenset()
    ceiling: float | None = None
    floor: float | None = None
    above: int = 0

    def encode(self) -> str:
        """The cursor as text that fits into a URL."""
        head = HEAD.pack(
            VERSION,
            self.question,
            round(self.at.timestamp() * 1e6),
            math.nan if self.ceiling is None else self.ceiling,
            math.nan if self.floor is None else self.floor,
            self.above,
        )
        body = head + b"".join(sorted(self.given))
        return base64.urlsafe_b64encode(body).decode().rstrip("=")


def decode(cursor: str, question: bytes) -> Position:
    """The position a cursor holds; InputError if it is none, or one of another question."""
    try:
        body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, asked, at, ceiling, floor, above = HEAD.unpack_from(body)
        marks = body[HEAD.size :]
        if version != VERSION or len(marks) % MARK:
            raise ValueError("not of this form")
        position = Position(
            asked,
            datetime.fromtimestamp(at / 1e6, UTC),
            frozenset(marks[i : i + MARK] for i in range(0, len(marks), MARK)),
            None if math.isnan(ceiling) else ceiling,
            None if math.isnan(floor) else floor,
            above,
        )
    except (ValueError, OverflowError, OSError, struct.error, binascii.Error):
        raise InputError(
            "The cursor is not one that a search gave.",
            fix="Take next_cursor of the page before, or start without one.",
        ) from None
    if asked != question:
        raise InputError(
            "The cursor belongs to another search.",
            fix="Ask the same question with the same filter and mode, or start without a cursor.",
        )
    return position


def question_of(*parts: object) -> bytes:
    """8 bytes that name a question: equal parts give equal bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()[:MARK]


def mark(photo_id: str) -> bytes:
    """How a cursor remembers a photo."""
    return bytes.fromhex(photo_id[: 2 * MARK])


def marks(photo_ids: Iterable[str]) -> frozenset[bytes]:
    """The marks of several photos."""
    return frozenset(map(mark, photo_ids))
