"""EncoderWatch: keeps an embedder able to embed in every space its tenant is, or moves, in."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading

from photoorg.errors import PhotoOrgError
from photoorg.search.embedding import LocalEmbedder
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, indexes, reports, spaces

log = logging.getLogger(__name__)
POLL_S = 2.0


class EncoderWatch:
    """Opens encoders before they are needed and reports them as a slot reports its versions.

    A cutover waits for these reports too: a replica that cannot embed in the new space holds it up.
    """

    def __init__(self, catalog: Catalog, tenant: str, embedder: LocalEmbedder) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._embedder = embedder
        self._stopped = threading.Event()
        self._failed: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="watch-encoders", daemon=True)
        self.replica = f"embedder {socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def look(self) -> None:
        """Open what is needed and not open yet; report what there is."""
        with self._catalog.tenant(self._tenant) as tx:
            usable = [
                v
                for v in indexes.list_versions(tx)
                if v.status in ("shadow", "active", "deprecated")
            ]
            known = {s.id: s for s in spaces.list_spaces(tx) if s.kind == "image"}
        ready = {i for i in {v.space_id for v in usable} & known.keys() if self._open(known[i])}
        held = [reports.Held(v.space_id, v.version, 0) for v in usable if v.space_id in ready]
        with self._catalog.tenant(self._tenant) as tx:
            reports.say(tx, self.replica, 0, 1, held)

    def _open(self, space: EmbeddingSpace) -> bool:
        try:
            self._embedder.encoder_of(space)
            return True
        except PhotoOrgError as error:
            if space.id not in self._failed:
                log.warning("queries cannot be embedded in %s: %s", space.id, error)
            self._failed.add(space.id)
            return False

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # the end of one look: the next comes in two seconds
                log.warning("encoders could not be looked after: %s", error)
            if self._stopped.wait(POLL_S):
                break
