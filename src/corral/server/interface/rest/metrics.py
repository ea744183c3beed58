"""/metrics: requests as the frame saw them, and what other parts say of themselves, as Prometheus text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
Source = Callable[[], Mapping[str, float]]
"""Figures of one part, read at each scrape: {"online": 981, "offline": 19}. Cheap, and never waiting."""
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NOT_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")


class Metrics:
    """`sources`: part → its figures; registry → corral_registry_online, corral_registry_offline, …"""

    def __init__(self, sources: Mapping[str, Source] | None = None) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "corral_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "corral_http_request_seconds",
            "Time to answer, streams excepted",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Sources(dict(sources or {})))

    def observe(self, *, method: str, route: str, status: int, seconds: float | None) -> None:
        """`seconds` None for a stream, which ends when the client likes."""
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Sources(Collector):
    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def describe(self) -> Iterator[Metric]:
        """Empty: the figures are known only when asked, and asking at registration would be too early."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for part, source in self._sources.items():
            for name, value in source().items():
                full = "corral_" + _NOT_A_NAME.sub("_", f"{part}_{name}")
                gauge = GaugeMetricFamily(full, f"{name} of {part}")
                gauge.add_metric([], float(value))
                yield gauge
