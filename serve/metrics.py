"""Prometheus metrics of one serving process, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from photoorg.search.neighbours import Neighbours

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters and histograms; labels hold routes and codes, never ids."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "photoorg_http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "photoorg_http_request_seconds",
            "Time from request to answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "photoorg_http_requests_in_flight",
            "Requests being answered.",
            registry=self.registry,
        )
        self.search = Histogram(
            "photoorg_search_seconds",
            "Time a search took inside the service.",
            ["kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.partial = Counter(
            "photoorg_search_partial_total",
            "Searches some shards did not answer.",
            registry=self.registry,
        )
        self.neighbours = Gauge(
            "photoorg_neighbour_cache_requests",
            "Searches for photos like one: found in the cache of neighbours (hit) or not (miss).",
            ["outcome"],
            registry=self.registry,
        )
        self.queue = Gauge(
            "photoorg_upload_queue_depth",
            "Uploads accepted and not yet processed.",
            registry=self.registry,
        )
        self.ingested = Counter(
            "photoorg_uploads_processed_total",
            "Uploads processed, by outcome.",
            ["outcome"],
            registry=self.registry,
        )

    def watch(self, neighbours: Neighbours) -> None:
        """Tell the hits and misses of a cache of neighbours, as they are when metrics are read."""
        self.neighbours.labels("hit").set_function(lambda: neighbours.hits)
        self.neighbours.labels("miss").set_function(lambda: neighbours.misses)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
