"""A cutover to another model and back under load: does any request fail, wait, or see the dead?

python -m benchmarks.cutover --json [--photos 300] [--space mobilenetv2 --models DIR] [--serve]

The application answers in this process and the switches are commands of their own; with --serve it
is `photoorg serve` in processes of its own, this one is its client over HTTP, and the switches go
through /v1/admin. The re-embedding is a command either way. Photos are uploaded and deleted all the
while. Without the space's weights the cutover is to another number of shards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml

from benchmarks.photos import folder, jpeg, photograph, with_comment
from benchmarks.report import ROOT, finish, print_table
from photoorg.config import PhotoOrgConfig, load
from photoorg.store.embedded import embedded

CLIENTS = 4
PHASE_S = 8.0
AFTER_S = 3.0
START_S = 240


class Load:
    """Clients that ask without a pause, and one that uploads and deletes."""

    def __init__(self, client: httpx.AsyncClient, photo_ids: list[str]) -> None:
        self._client = client
        self._ids = photo_ids
        self._gone: set[str] = set()
        self._stopped = False
        self.phase = "before"
        self.times: dict[str, list[float]] = {}
        self.failed: list[str] = []
        self.resurrected = self.uploads = self.deletes = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as the block lasts."""
        tasks = [asyncio.create_task(self._ask(n)) for n in range(CLIENTS)]
        tasks.append(asyncio.create_task(self._write()))
        try:
            yield
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)

    async def _ask(self, seed: int) -> None:
        draw = random.Random(seed)
        while not self._stopped:
            gone, phase = frozenset(self._gone), self.phase
            photo_id = draw.choice(self._ids[20:])
            started = time.perf_counter()
            try:
                answer = await self._client.get(f"/v1/photos/{photo_id}/similar?top_k=20")
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
                continue
            self.times.setdefault(phase, []).append(time.perf_counter() - started)
            if answer.status_code != 200 or answer.json()["partial"]:
                self.failed.append(answer.text[:200])
                continue
            shown = {h["photo_id"] for h in answer.json()["results"]}
            shown |= {f for h in answer.json()["results"] for f in h["folded"]}
            self.resurrected += len(shown & gone)

    async def _write(self) -> None:
        base = jpeg(photograph(999, 640, 480))
        doomed = self._ids[:20]
        while not self._stopped:
            self.uploads += 1
            data = with_comment(base, f"new {self.uploads}")
            sent = await self._client.post("/v1/photos", files={"file": ("n.jpg", data)})
            if sent.status_code not in (200, 202):
                self.failed.append(sent.text[:200])
            if doomed:
                photo_id = doomed.pop()
                gone = await self._client.delete(f"/v1/photos/{photo_id}")
                if gone.status_code == 204:
                    self._gone.add(photo_id)
                    self.deletes += 1
                else:
                    self.failed.append(gone.text[:200])
            await asyncio.sleep(0.7)


async def command(config: Path, *words: str) -> dict[str, Any]:
    """Run a photoorg command; what it answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photoorg.cli", *words, "--config", str(config), "--json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"photoorg {' '.join(words)} failed: {output.decode()[-500:]}")
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


@asynccontextmanager
async def in_this_process(config: PhotoOrgConfig) -> AsyncIterator[httpx.AsyncClient]:
    """The application without Ray."""
    from serve.deployments import Ingress

    ingress = Ingress.__new__(Ingress)
    await ingress.__init__(config)  # type: ignore[misc]
    app = ingress.__serve_build_asgi_app__()
    logging.getLogger("serve").setLevel(logging.WARNING)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.timeout = httpx.Timeout(60.0)
            yield client


@asynccontextmanager
async def under_ray(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The application under Ray Serve, in processes of its own."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "photoorg.cli", "serve", "--config", str(path)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        line = await asyncio.wait_for(server.stdout.readline(), START_S)
        url = line.decode().split()[3]
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.terminate()
        await server.wait()


class Operator:
    """Gives the orders: by commands, or over HTTP where there is a `client` for that."""

    def __init__(self, path: Path, client: httpx.AsyncClient | None) -> None:
        self._path = path
        self._client = client

    async def activate(self, version: str) -> None:
        """The cutover."""
        if self._client is None:
            await command(self._path, "index", "activate", version, "--force")
        else:
            await self._post(f"{version}/activate", {"force": True})

    async def reshard(self, shards: int) -> None:
        """A cutover to the same photos in another number of shards."""
        if self._client is None:
            await command(self._path, "index", "reshard", "--shards", str(shards))
        else:
            await self._post("compact", {"shards": shards})

    async def rollback(self) -> None:
        """The way back."""
        if self._client is None:
            await command(self._path, "index", "rollback")
        else:
            await self._post("rollback", {})

    async def _post(self, what: str, body: dict[str, Any]) -> None:
        assert self._client is not None
        answer = await self._client.post(f"/v1/admin/indexes/{what}", json=body, timeout=300)
        if answer.status_code != 200:
            raise SystemExit(f"{what} failed: {answer.text}")


async def migrate(
    load_: Load, operator: Operator, path: Path, space: str | None
) -> dict[str, float]:
    """Before, the re-embedding, the cutover, and the way back."""
    await asyncio.sleep(PHASE_S)
    load_.phase = "preparing"
    started = time.monotonic()
    if space is not None:
        version = (await command(path, "reembed", "--space", space))["version"]
        prepared = time.monotonic() - started
        load_.phase = "cutover"
        started = time.monotonic()
        await operator.activate(version)
        cutover = time.monotonic() - started
    else:
        prepared = 0.0
        load_.phase = "cutover"
        await operator.reshard(3)
        cutover = time.monotonic() - started
    await asyncio.sleep(AFTER_S)
    load_.phase = "rollback"
    started = time.monotonic()
    await operator.rollback()
    rollback = time.monotonic() - started
    await asyncio.sleep(AFTER_S)
    return {"reembed_s": prepared, "cutover_s": cutover, "rollback_s": rollback}


def configured(scratch: Path, url: str, args: argparse.Namespace) -> tuple[Path, str | None]:
    """The configuration file, and the space to move to if its weights are here."""
    models = Path(args.models) if args.models else ROOT.parent / "shared" / "data" / "models"
    space = args.space if models.is_dir() else None
    data = {
        "storage": {"root": str(scratch / "store")},
        "database": {"url": url},
        "encoder": {"space": "builtin", "threads": 1},
        "ingest": {"part_rows": 100_000, "originals": "copy"},
        "index": {"shards": 2},
        "search": {"deadline_ms": 20_000},
        "serve": {"port": 0, "cache_dir": str(scratch / "cache")},
        "migration": {"spaces": [space] if space else []},
    }
    if models.is_dir():
        data["models_dir"] = str(models)
    path = scratch / "config.yaml"
    path.write_text(yaml.safe_dump(data))
    return path, space


async def measure(args: argparse.Namespace, scratch: Path, url: str) -> dict[str, Any]:
    """Everything on a fresh library."""
    path, space = configured(scratch, url, args)
    photos = folder(scratch / "photos", args.photos, width=640, height=480)
    await command(path, "ingest", str(photos))
    await command(path, "index", "build")
    async with AsyncExitStack() as stack:
        app = under_ray(path) if args.serve else in_this_process(load(path))
        client = await stack.enter_async_context(app)
        listed = (await client.get("/v1/photos", params={"limit": args.photos})).json()
        under = Load(client, sorted(p["photo_id"] for p in listed["photos"]))
        for photo_id in under._ids[20:40]:
            await client.get(f"/v1/photos/{photo_id}/similar")
        async with under.running():
            operator = Operator(path, client if args.serve else None)
            took = await migrate(under, operator, path, space)
    before = np.array(under.times["before"]) * 1000
    during = np.array(under.times["cutover"] + under.times["rollback"]) * 1000
    p99 = float(np.percentile(before, 99))
    return {
        "failed_requests": len(under.failed),
        "resurrected": under.resurrected,
        "max_latency_over_p99_before": float(during.max()) / p99,
        "p50_before_ms": float(np.percentile(before, 50)),
        "p99_before_ms": p99,
        "p50_during_ms": float(np.percentile(during, 50)),
        "p99_during_ms": float(np.percentile(during, 99)),
        "max_during_ms": float(during.max()),
        "max_preparing_ms": 1000 * max(under.times.get("preparing", [0.0])),
        "requests": sum(map(len, under.times.values())),
        "uploads": under.uploads,
        "deletes": under.deletes,
        **took,
        "config": {"photos": args.photos, "to": space or "3 shards", "serve": args.serve},
        "failures": under.failed[:3],
    }


def main() -> None:
    """Start a database, run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--space", default="mobilenetv2")
    parser.add_argument("--models", metavar="DIR")
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        with embedded(Path(name) / "database") as url:
            result = asyncio.run(measure(args, Path(name), url))
    print_table("a cutover under load", [(k, v) for k, v in result.items()])
    finish("cutover", result)


if __name__ == "__main__":
    main()
