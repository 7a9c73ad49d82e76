"""A whole migration on a live cluster with a client that never rests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from photoorg.config import load
from tests.fakes.libraries import second_space
from tests.pictures import jpeg
from tests.ray.test_serve import (
    Server,
    eventually,
    found,
    ids,
    ready,
    running,
    settings,
    upload,
)

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def other_space(tmp_path: Path) -> tuple[str, Path]:
    """A real model where the shared data is beside the checkout, else one with random weights."""
    models = ROOT.parent / "shared" / "data" / "models"
    if models.is_dir():
        return "mobilenetv2", models
    return second_space(tmp_path / "models"), tmp_path / "models"


def migrating(tmp_path: Path, url: str, **serve: object) -> tuple[Path, str]:
    """A configuration file that can move to the other space, and that space."""
    path = settings(tmp_path, url, cache_dir=str(tmp_path / "cache"), **serve)
    space, models = other_space(tmp_path)
    data = yaml.safe_load(path.read_text())
    data["models_dir"] = str(models)
    data["search"] |= {"delta_poll_ms": 100}
    data["migration"] = {
        "spaces": [space],
        "sample": 1.0,
        "gates": {"min_queries": 5, "max_latency_ratio": 1_000.0},
    }
    path.write_text(yaml.safe_dump(data))
    return path, space


class Client:
    """Asks without a pause; every answer must be whole, and without what was deleted before."""

    def __init__(self, url: str, photo_id: str) -> None:
        self._url, self._photo_id = url, photo_id
        self._gone: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0
        self.wrong: list[str] = []
        self.spaces: set[str] = set()

    def deleted(self, photo_id: str) -> None:
        """From the next question on, this photo may not be in an answer."""
        self._gone = {*self._gone, photo_id}

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._stop.is_set():
                gone = self._gone
                try:
                    answer = client.get(
                        f"/v1/photos/{self._photo_id}/similar", params={"top_k": 50}
                    )
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                    continue
                self.asked += 1
                if answer.status_code != 200 or answer.json()["partial"]:
                    self.wrong.append(answer.text)
                elif ids(answer.json()) & gone:
                    self.wrong.append(f"back from the dead: {ids(answer.json()) & gone}")

    @contextmanager
    def hammering(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def admin(server: Server, method: str, path: str, body: dict[str, Any] | None = None) -> dict:
    answer = server.client.request(method, f"/v1/admin/{path}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def default_space(server: Server) -> str:
    return str(admin(server, "GET", "indexes")["default_space"])


def by_image(server: Server, seed: int) -> dict:
    answer = server.client.post("/v1/search", files={"image": ("q.jpg", jpeg(seed))})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_whole_migration_there_and_back_while_a_client_hammers(tmp_path, catalog_url):
    from pipelines import build_index, reembed

    path, space = migrating(tmp_path, catalog_url)
    config = load(path)
    with running(path) as server:
        photos = [upload(server, jpeg(n)) for n in range(12)]
        eventually(lambda: all(ready(server, i) for i in photos), "all uploads are processed")
        build_index.run(config)
        old = default_space(server)
        client = Client(server.url, photos[0])
        with client.hammering():

            def delete(photo_id: str) -> None:
                assert server.client.delete(f"/v1/photos/{photo_id}").status_code == 204
                client.deleted(photo_id)
                photos.remove(photo_id)

            delete(photos[3])
            with ThreadPoolExecutor(1) as beside:
                running_job = beside.submit(reembed.run, config, space)
                photos.append(upload(server, jpeg(100)))
                delete(photos[5])
                job = running_job.result(400)
            assert job["status"] == "shadow" and job["rejects"] == 0
            photos.append(upload(server, jpeg(101)))
            delete(photos[4])
            eventually(lambda: all(ready(server, i) for i in photos), "uploads go on")
            report: dict[str, Any] = {}

            def compared() -> bool:
                path = f"indexes/{job['version']}/compare"
                report.update(admin(server, "POST", path, {"queries": 50}))
                return bool(report["live_queries"] > 0)

            eventually(compared, "questions of clients are put to both")
            assert report["passed"] and report["coverage"] == 1.0, report["gates"]
            admin(server, "POST", f"indexes/{job['version']}/activate", {"wait_s": 60})
            assert default_space(server) == job["space"] != old
            assert found(server, photos[0])["space"] == job["space"]
            assert ids(found(server, photos[0])) == set(photos[1:])
            assert by_image(server, 1)["results"][0]["photo_id"] == photos[1]
            photos.append(upload(server, jpeg(102)))
            delete(photos[2])
            eventually(lambda: ready(server, photos[-1]), "uploads go on")
            admin(server, "POST", "indexes/rollback", {"wait_s": 60})
            assert default_space(server) == old
            assert ids(found(server, photos[0])) == set(photos[1:])
            assert by_image(server, 102)["results"][0]["photo_id"] == photos[-1]
            done = admin(server, "POST", "indexes/compact", {"shards": 3})
            assert (done["shards"], done["vectors"]) == (3, len(photos))
            assert ids(found(server, photos[0])) == set(photos[1:])
        assert client.asked > 20 and client.wrong == []
        assert server.stop() == 0
