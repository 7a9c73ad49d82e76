"""Metrics of an application of several replicas under real Ray Serve."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.board import EVERY_S
from tests.pictures import jpeg
from tests.ray.test_serve import APART, Server, eventually, ready, running, settings, upload

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]
ASKED = 40
SETTLED_S = EVERY_S + 1.0  # longer than a report may be old


def scraped(server: Server) -> dict[tuple[str, str], float]:
    """(sample, replica) -> value, summed over other labels, of what was asked of one route."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(server.client.get("/v1/metrics").text):
        for sample in family.samples:
            if sample.labels.get("route", "/v1/health/live") == "/v1/health/live":
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
        eventually(
            lambda: scraped(server).get(("photoorg_replicas_reporting", "")) == 3.0, "all report"
        )
        time.sleep(SETTLED_S)  # what was asked while it started is reported too
        before = total(server, "photoorg_http_requests_total")
        for _ in range(ASKED):
            assert server.client.get("/v1/health/live").status_code == 200
        eventually(
            lambda: total(server, "photoorg_http_requests_total") >= before + ASKED, "all count"
        )
        time.sleep(SETTLED_S)
        seen = [total(server, "photoorg_http_requests_total") for _ in range(10)]
        assert seen == [before + ASKED] * 10, "no answer differs from another"
        found = scraped(server)
        asked = {r for (name, r) in found if name == "photoorg_http_requests_total"}
        assert len(asked) == 2, "both replicas answered some"
        assert total(server, "photoorg_uploads_processed_total") == 1, "the ingestor is counted"
        assert server.stop() == 0
