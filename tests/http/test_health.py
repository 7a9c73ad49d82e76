"""Readiness when a part does not answer."""

from __future__ import annotations

import asyncio

from photoorg.errors import CatalogError
from serve.health import HealthChecks


async def test_a_look_that_hangs_is_not_begun_again_beside_itself(monkeypatch):
    begun, goes_on = [], asyncio.Event()

    async def storage() -> str:
        begun.append(1)
        await goes_on.wait()
        return "there"

    async def database() -> str:
        raise CatalogError("The database is gone.")

    monkeypatch.setattr("serve.health.KEEP_S", 0.0)
    health = HealthChecks({"storage": storage, "database": database}, timeout_s=0.05)
    for _ in range(3):
        found = await health.checks()
        assert not found["storage"].ok and "No answer" in found["storage"].detail
        assert "gone" in found["database"].detail
    assert len(begun) == 1
    goes_on.set()
    await asyncio.sleep(0)
    assert (await health.checks())["storage"].ok and len(begun) <= 2
