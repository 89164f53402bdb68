"""The metrics of one proxy, on a registry of its own.

In: ledger rows (`observe`), and functions that read a number when Prometheus asks (`watch`). Out: the exposition text.
Refuses: labels that name a person or a site; every label's values are our own short codes.

Names, units and help texts follow Prometheus' conventions: base units in the name, counters end in _total.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from proxy.ledger.row import STAGES, Row, facet

STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
QUALITY_BUCKETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
GAUGES = {
    "sketchwire_flows_in_progress": "Requests whose answer is not complete yet.",
    "sketchwire_ledger_queued_rows": "Ledger rows that wait to be written.",
    "sketchwire_runtime_up": "Whether the reconstruction runtime answered when last asked (downstream): 1 or 0.",
    "sketchwire_link_up": "Whether the connection to the other proxy stands: 1 or 0.",
}
COUNTS = {
    "sketchwire_ledger_written_rows": "Ledger rows written since the start.",
    "sketchwire_hook_failures": "Defects met in our hooks; the flow went on without us.",
    "sketchwire_ledger_dropped_rows": "Ledger rows that could not be kept: queue full, disk full, database away.",
}


class Metrics:
    """The metrics of the proxy in `role`; `version` is told in sketchwire_build_info."""

    def __init__(self, role: str, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._role = role
        self._responses = Counter(
            "sketchwire_responses",
            "Responses by what was decided and why; kind is image or other.",
            ("role", "kind", "decision", "reason"),
            registry=registry,
        )
        bytes_of = ("role", "kind")
        self._origin = Counter("sketchwire_origin_bytes", "Bodies that origins sent.", bytes_of, registry=registry)
        self._link = Counter(
            "sketchwire_link_bytes",
            "What crossed the link, heads, framing and TLS included, by direction (up: towards origins).",
            ("role", "kind", "direction"),
            registry=registry,
        )
        self._refetch = Counter(
            "sketchwire_refetch_bytes",
            "What crossed the link again because a bundle could not be shown.",
            ("role",),
            registry=registry,
        )
        self._delivered = Counter(
            "sketchwire_delivered_bytes", "Bodies that browsers were given.", bytes_of, registry=registry
        )
        self._refetches = Counter(
            "sketchwire_refetches",
            "Originals fetched because a bundle could not be shown.",
            ("role",),
            registry=registry,
        )
        self._hits = Counter(
            "sketchwire_cache_hits", "Reconstructions that came from a cache.", ("role",), registry=registry
        )
        self._stages = Histogram(
            "sketchwire_stage_seconds",
            "Time a response spent in a stage: origin, encode, link, queue, reconstruct, total.",
            ("role", "stage"),
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._quality = Histogram(
            "sketchwire_quality_ratio",
            "Similarity that the encoder measured, 0 to 1.",
            ("role",),
            buckets=QUALITY_BUCKETS,
            registry=registry,
        )
        Info("sketchwire_build", "The version that runs.", registry=registry).info({"version": version, "role": role})
        self._gauges = {name: Gauge(name, text, ("role",), registry=registry) for name, text in GAUGES.items()}
        self._counts = {name: _Reading(name, text, role) for name, text in COUNTS.items()}
        for each in self._counts.values():
            registry.register(each)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def observe(self, row: Row) -> None:
        """Count a response. Never raises on a row that the ledger would take."""
        codes, role = facet(row), self._role
        kind = "image" if row.image else "other"
        if codes.decision != "overhead":
            self._responses.labels(role, kind, codes.decision, codes.reason).inc()
        self._origin.labels(role, kind).inc(max(row.origin_bytes, 0))
        self._delivered.labels(role, kind).inc(max(row.delivered_bytes, 0))
        self._link.labels(role, kind, "up").inc(max(row.link_up_bytes, 0))
        self._link.labels(role, kind, "down").inc(max(row.link_bytes - row.link_up_bytes, 0))
        self._refetch.labels(role).inc(max(row.refetch_bytes, 0))
        self._refetches.labels(role).inc(max(row.refetches, 0))
        self._hits.labels(role).inc(int(row.cache_hit))
        for stage in STAGES:
            spent_ms = getattr(row, stage)
            if spent_ms is not None:
                self._stages.labels(role, stage.removesuffix("_ms")).observe(spent_ms / 1000)
        if row.quality is not None:
            self._quality.labels(role).observe(row.quality)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Read a number of `GAUGES` or `COUNTS` with `read` whenever Prometheus asks."""
        if name in self._counts:
            self._counts[name].read = read
        else:
            self._gauges[name].labels(self._role).set_function(read)

    def text(self) -> bytes:
        """The exposition, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class _Reading(Collector):
    """A counter whose value somebody else keeps."""

    def __init__(self, name: str, text: str, role: str) -> None:
        self._name, self._text, self._role = name, text, role
        self.read: Callable[[], float] | None = None

    def describe(self) -> list[CounterMetricFamily]:
        """What it will be called."""
        return [CounterMetricFamily(self._name, self._text, labels=("role",))]

    def collect(self) -> list[CounterMetricFamily]:
        """Its value now."""
        [family] = self.describe()
        if self.read is not None:
            family.add_metric((self._role,), self.read())
        return [family]


__all__ = ["CONTENT_TYPE", "Metrics"]
