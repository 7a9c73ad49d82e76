"""A storm of queries in which a shard is killed and the database goes away and comes back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from photoorg.config import load
from photoorg.store.catalog import Catalog
from photoorg.store.embedded import embedded
from tests.pictures import jpeg
from tests.ray.test_migration import migrating
from tests.ray.test_serve import APART, Server, eventually, found, ids, ready, running, upload

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]
CLIENTS = 4
PAUSE_S = 0.1


class Storm:
    """Clients that ask all the time and note what they are told."""

    def __init__(self, url: str, photo_id: str) -> None:
        self._url, self._photo_id = url, photo_id
        self._stop = threading.Event()
        self.answers: list[httpx.Response] = []
        self.broken: list[str] = []

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    path = f"/v1/photos/{self._photo_id}/similar"
                    self.answers.append(client.get(path, params={"top_k": 50}))
                except httpx.HTTPError as error:
                    self.broken.append(repr(error))
                time.sleep(PAUSE_S)

    @contextmanager
    def blowing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def since(self, start: int) -> list[httpx.Response]:
        return self.answers[start:]


def stop_database(folder: Path) -> None:
    """As an administrator does: open connections are closed, the server ends in order."""
    pid = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
    server = psutil.Process(pid)
    os.kill(pid, signal.SIGINT)
    server.wait(60)


def require_sense(answers: list[httpx.Response], deleted: set[str]) -> None:
    """Every answer is one, whole or labelled as partial, or a problem that can be tried again."""
    for answer in answers:
        if answer.status_code == 200:
            body = answer.json()
            assert not ids(body) & deleted
            assert body["partial"] or body["shards_answered"] == body["shards_total"]
            continue
        assert answer.status_code in (503, 504), answer.text
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert problem["detail"] and problem["code"] != "internal", problem
        assert "retry-after" in answer.headers or answer.status_code == 504


def test_nothing_acknowledged_is_lost_and_everything_recovers_by_itself(tmp_path, server_folder):
    from pipelines import build_index

    with embedded(server_folder) as url:
        path, _ = migrating(tmp_path, url, embedder=APART, shard=APART, ingestor=APART)
        data = yaml.safe_load(path.read_text())
        data["database"]["connect_timeout_s"] = 3
        # Every question goes to the shards: what is remembered would be whole without one of them.
        # A shard that is lost is not waited for until it is back.
        data["search"] |= {"cached_neighbours": 0, "deadline_ms": 2_000}
        path.write_text(yaml.safe_dump(data))
        config = load(path)
        with running(path) as server:
            photos = [upload(server, jpeg(n)) for n in range(8)]
            eventually(lambda: all(ready(server, i) for i in photos), "all uploads are processed")
            build_index.run(config)
            assert ids(found(server, photos[0])) == set(photos[1:])
            body = server.client.post("/v1/search", files={"image": ("q.jpg", jpeg(3))}).json()
            assert body["results"][0]["photo_id"] == photos[3] and body["shards_total"] == 2
            wrong = server.client.post("/v1/search", files={"image": ("q.jpg", b"hello")})
            assert wrong.status_code == 415 and wrong.json()["code"] == "unsupported-media-type"
            storm = Storm(server.url, photos[_place(photos, 0)])
            with storm.blowing():
                eventually(lambda: len(storm.answers) > 20, "the storm blows")
                next(iter(server.named("shard-1"))).kill()
                eventually(lambda: _partial(storm), "answers without the shard are labelled")
                photos.append(upload_anyway(server, 50))
                assert server.client.delete(f"/v1/photos/{photos[1]}").status_code == 204
                deleted = {photos.pop(1)}
                before = len(storm.answers)
                stop_database(server_folder)
                eventually(lambda: _refused(storm, before), "the loss is told")
                refused = server.client.post("/v1/photos", files={"file": ("a.jpg", jpeg(60))})
                assert refused.status_code == 503, refused.text
                assert refused.json()["code"] == "catalog-failed"
                after = len(storm.answers)
                with embedded(server_folder):
                    photos.append(upload_anyway(server, 51))
                    eventually(lambda: all(ready(server, i) for i in photos), "uploads go on")
                    eventually(lambda: _whole(server, photos), "all is as before")
            assert storm.broken == []
            require_sense(storm.since(before), deleted)
            require_sense(storm.answers[:before], set())
            assert any(a.status_code == 200 for a in storm.since(after))
            assert server.stop() == 0
        with Catalog(url, config.database) as catalog, catalog.tenant("default") as tx:
            row = tx.conn.execute("SELECT count(*) FROM index_versions WHERE status = 'active'")
            assert row.fetchone() == (1,)


def _place(photos: list[str], slot: int) -> int:
    """The first photo whose vector is in the slot that lives."""
    return next(n for n, i in enumerate(photos) if n != 1 and int(i[:16], 16) % 2 == slot)


def _partial(storm: Storm) -> bool:
    good = [a.json() for a in storm.answers[-200:] if a.status_code == 200]
    return any(body["partial"] and body["shards_answered"] == 1 for body in good)


def _refused(storm: Storm, start: int) -> bool:
    return any(a.status_code == 503 for a in storm.since(start))


def _whole(server: Server, photos: list[str]) -> bool:
    answer = server.client.get(f"/v1/photos/{photos[0]}/similar", params={"top_k": 50})
    if answer.status_code != 200 or answer.json()["partial"]:
        return False
    return ids(answer.json()) == set(photos[1:])


def upload_anyway(server: Server, seed: int) -> str:
    """Upload as a patient client does: again, while the answer is that the server is not well."""
    for _ in range(60):
        answer = server.client.post("/v1/photos", files={"file": ("a.jpg", jpeg(seed))})
        if answer.status_code in (200, 202):
            return str(answer.json()["photo_id"])
        assert answer.status_code == 503, answer.text
        time.sleep(0.5)
    raise AssertionError("the server does not recover")
