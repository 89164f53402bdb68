"""What the runtime tells Prometheus, read from its own counters when asked.

In: the dictionaries that /healthz shows. Out: the exposition text. Refuses: nothing; what is missing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

EVENTS = ("served", "hits", "fallbacks", "failures", "bad", "busy", "late", "gone")

State = Callable[[], Mapping[str, Any]]


class _Runtime(Collector):
    """Turns the state into families."""

    def __init__(self, state: State, engine: str, version: str) -> None:
        self._state, self._engine, self._version = state, engine, version

    def collect(self) -> Iterable[Metric]:
        """The values now."""
        state = self._state()
        events = CounterMetricFamily(
            "sketchwire_runtime_events",
            "What happened: served (hits and fallbacks included), hits, fallbacks, failures, bad, busy, late, gone.",
            labels=("event",),
        )
        for event in EVENTS:
            events.add_metric((event,), float(state.get(event, 0)))
        yield events
        reasons = CounterMetricFamily(
            "sketchwire_runtime_fallback_reasons", "Why another engine drew than the first one.", labels=("reason",)
        )
        for reason, count in dict(state.get("reasons") or {}).items():
            reasons.add_metric((str(getattr(reason, "value", reason)),), float(count))
        yield reasons
        yield CounterMetricFamily(
            "sketchwire_runtime_batches", "Batches that an engine drew.", value=float(state.get("batches", 0))
        )
        yield GaugeMetricFamily(
            "sketchwire_runtime_queued_bundles", "Bundles that wait to be drawn.", value=float(state.get("queue", 0))
        )
        cache = state.get("cache") or {}
        yield GaugeMetricFamily(
            "sketchwire_runtime_cache_bytes",
            "Finished reconstructions on disk.",
            value=float(cache.get("size_bytes", cache.get("bytes", 0))),
        )
        yield GaugeMetricFamily(
            "sketchwire_runtime_degraded",
            "Whether the configured engine is missing and another one draws: 1 or 0.",
            value=float(bool(state.get("missing"))),
        )
        about = {"version": self._version, "engine": self._engine}
        yield InfoMetricFamily("sketchwire_runtime_build", "The version and the engine that run.", value=about)


def exposition(state: State, engine: str, version: str) -> bytes:
    """The text of `/metrics`, of type `CONTENT_TYPE`."""
    registry = CollectorRegistry()
    registry.register(_Runtime(state, engine, version))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


__all__ = ["CONTENT_TYPE", "exposition"]
