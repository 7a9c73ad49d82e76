"""What stands in for the stages of an upload."""

from __future__ import annotations

import hashlib

from photoorg.models import Rejection
from photoorg.stages.online import OnlineResult
from photoorg.store.layout import thumb_path
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.fakes.search import unit

T = "default"


class FakeLine:
    """Turns every upload into a ready photo; `result` or `error` say otherwise."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.seen: list[tuple[str, str]] = []
        self.rejection: Rejection | None = None
        self.error: Exception | None = None
        self.meanwhile = lambda: None
        self.content_id: str | None = None

    def process(self, data, *, uri, filename, uploaded_at=None) -> OnlineResult:
        self.seen.append((uri, filename))
        self.meanwhile()
        if self.error:
            raise self.error
        if self.rejection:
            return OnlineResult(None, None, self.rejection)
        digest = hashlib.sha256(data).hexdigest()
        self.store.write(thumb_path(T, digest), b"RIFFwebp")
        photo = rows.photo(uri, photo_id=digest, content_id=self.content_id)
        return OnlineResult(rows.photos(photo), unit(digest), None)
