"""Prometheus metrics of one serving process, and of all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from photoorg.search.neighbours import Neighbours

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one process has counted."""

    replica: str
    families: tuple[Metric, ...]


class Metrics:
    """Counters and histograms; labels hold routes and codes, never ids.

    With a `replica` every series of the process carries that name as a label, so that those of
    several processes stand beside each other and add up.
    """

    def __init__(self, replica: str = "") -> None:
        self.replica = replica
        self.registry = CollectorRegistry()
        self._common = CollectorRegistry()
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
            registry=self._common,
        )
        self._reporting = Gauge(
            "photoorg_replicas_reporting",
            "Processes whose metrics are in this answer.",
            registry=self._common,
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

    def snapshot(self) -> Snapshot:
        """What this process has counted up to now."""
        return Snapshot(self.replica, tuple(self.registry.collect()))

    def text(self, others: Sequence[Snapshot] = ()) -> bytes:
        """Everything in Prometheus' text format, with what other processes have counted.

        What is true of the library as a whole, whoever is asked, stands there once and without a
        replica.
        """
        self._reporting.set(1 + len(others))
        return generate_latest(_Together([self.snapshot(), *others])) + generate_latest(
            self._common
        )


class _Together(Collector):
    """The series of several processes, each family once."""

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        """Families in the order in which they are first met."""
        families: dict[str, Metric] = {}
        for snapshot in self._snapshots:
            label = {"replica": snapshot.replica} if snapshot.replica else {}
            for found in snapshot.families:
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type, found.unit)
                )
                family.samples += [
                    sample._replace(labels={**sample.labels, **label}) for sample in found.samples
                ]
        return families.values()
