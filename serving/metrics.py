"""The gateway's Prometheus metrics, in a registry of their own so that two gateways fit into one process."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from runtime.protobuf import tell_implementation

_LATENCY_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0)


class GatewayMetrics:
    """Counts and times calls; label values are gRPC codes and the short names of degraded reasons."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        tell_implementation(self.registry)
        self._requests = Counter(
            "nextclick_gateway_requests",
            "Calls by method, gRPC code and why the answer was degraded (empty: it was not)",
            ("method", "code", "degraded_reason"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "nextclick_gateway_latency_seconds",
            "Time from the request's arrival to its answer, by method",
            ("method",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge("nextclick_gateway_in_flight", "Calls being answered", registry=self.registry)
        self._model_ready = Gauge(
            "nextclick_gateway_model_ready", "1 when the model is served and fits this gateway", registry=self.registry
        )
        self._popular_items = Gauge(
            "nextclick_gateway_popular_items", "Popular items at hand for degraded answers", registry=self.registry
        )
        self._unavailable_items = Gauge(
            "nextclick_gateway_unavailable_items", "Items known not to be answered", registry=self.registry
        )

    def observe(self, method: str, code: str, degraded_reason: str, seconds: float) -> None:
        """Record one finished call."""
        self._requests.labels(method, code, degraded_reason).inc()
        self._latency.labels(method).observe(seconds)

    def set_in_flight(self, count: int) -> None:
        self._in_flight.set(count)

    def set_state(self, model_ready: bool, popular_items: int, unavailable_items: int) -> None:
        """Record what the gateway could answer with."""
        self._model_ready.set(model_ready)
        self._popular_items.set(popular_items)
        self._unavailable_items.set(unavailable_items)
