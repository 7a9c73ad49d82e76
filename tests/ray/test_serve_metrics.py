"""Metrics of an application of several replicas under real Ray Serve."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.pictures import jpeg
from tests.ray.test_serve import APART, Server, eventually, ready, running, settings, upload

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]
ASKED = 40
ROUTE = "/v1/events"  # asked by nobody but the test


def scraped(server: Server) -> dict[tuple[str, str], float]:
    """(sample, replica) -> value, summed over other labels; of requests, those of the route."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(server.client.get("/v1/metrics").text):
        for sample in family.samples:
            if sample.labels.get("route", ROUTE) == ROUTE:
                key = sample.name, sample.labels.get("replica", "")
                found[key] = found.get(key, 0) + sample.value
    return found


def total(server: Server, name: str) -> float:
    return sum(value for (sample, _), value in scraped(server).items() if sample == name)


def test_whichever_replica_is_asked_answers_for_all_of_them(tmp_path, catalog_url):
    config = settings(tmp_path, catalog_url, ingress_replicas=2, ingestor=APART)
    with running(config) as server:
        photo = upload(server, jpeg(1))
        eventually(lambda: ready(server, photo), "it is processed")
        asked = 0

        def both_answered() -> bool:
            nonlocal asked
            for _ in range(ASKED):
                assert server.client.get(ROUTE).status_code == 200
            asked += ASKED
            counted = {r for name, r in scraped(server) if name == "photoorg_http_requests_total"}
            return len(counted) == 2

        eventually(both_answered, "both replicas answer some")
        # A replica hears of the other's last answers with its next report, and never of more.
        eventually(
            lambda: (
                [total(server, "photoorg_http_requests_total") for _ in range(10)] == [asked] * 10
            ),
            "every answer counts all that was asked, and none of it twice",
        )
        eventually(
            lambda: scraped(server).get(("photoorg_replicas_reporting", "")) == 3.0, "all report"
        )
        eventually(
            lambda: total(server, "photoorg_uploads_processed_total") == 1,
            "the ingestor is counted",
        )
        assert server.stop() == 0
