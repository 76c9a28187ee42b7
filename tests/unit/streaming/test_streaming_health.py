"""Metrics as a scrape sees them, and what the probes answer, over real HTTP."""

import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from feature_repo.errors import Reason
from feature_repo.schema import EventType
from runtime.metrics_http import serve_http
from streaming.errors import EventError, MetricsPortError
from streaming.stage.bulk_histogram import BulkHistogram
from streaming.stage.health import Health
from streaming.stage.metrics import Result, StreamingMetrics

VALUES = [0.0, 0.0005, 0.001, 0.0011, 0.02, 0.02, 0.5, 7.0, 60.0, 1e6]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def health() -> Health:
    return Health(stalled_seconds=60)


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    with serve_http("127.0.0.1", 0, StreamingMetrics().registry, health.liveness, health.readiness) as port:
        yield port


def test_a_bulk_histogram_is_exposed_as_the_clients_own() -> None:
    bulk, plain = CollectorRegistry(), CollectorRegistry()
    BulkHistogram("h_seconds", "Seconds", (0.001, 0.01, 1, 60), bulk).observe_many((value, 3) for value in VALUES)
    histogram = Histogram("h_seconds", "Seconds", buckets=(0.001, 0.01, 1, 60), registry=plain)
    for value in VALUES * 3:
        histogram.observe(value)
    created = b"h_seconds_created"
    expected = [line for line in generate_latest(plain).splitlines() if created not in line]
    got = generate_latest(bulk).splitlines()
    totals = [line for line in expected if line.startswith(b"h_seconds_sum")]
    assert [line for line in got if not line.startswith(b"h_seconds_sum")] == [
        line for line in expected if line not in totals
    ]
    assert bulk.get_sample_value("h_seconds_sum") == pytest.approx(sum(VALUES) * 3)


def test_a_batch_is_counted_by_type_result_reason_and_field() -> None:
    metrics = StreamingMetrics()
    metrics.count_events(Result.WRITTEN, {EventType.VIEW: 3, EventType.PURCHASE: 1})
    metrics.count_events(Result.DUPLICATE, {EventType.VIEW: 2})
    missing = EventError("session_id", "a string", Reason.MISSING)
    strange = EventError("attributes.chosen by a stranger", "a string", Reason.WRONG_TYPE)
    metrics.count_rejected([missing, missing, strange])
    metrics.count_rejected([])
    text = generate_latest(metrics.registry).decode().splitlines()
    assert 'nextclick_events_total{event_type="view",result="written"} 3.0' in text
    assert 'nextclick_events_total{event_type="view",result="duplicate"} 2.0' in text
    assert 'nextclick_events_total{event_type="",result="rejected"} 3.0' in text
    assert 'nextclick_dead_letters_total{field="session_id",reason="missing"} 2.0' in text
    assert 'nextclick_dead_letters_total{field="attributes",reason="wrong_type"} 1.0' in text


def test_freshness_is_the_age_at_which_events_can_be_read() -> None:
    metrics = StreamingMetrics()
    metrics.observe_visible([1000, 1000, 1900, 2500], now_ms=2000)
    value = metrics.registry.get_sample_value
    assert value("nextclick_event_visible_seconds_count") == 4
    assert value("nextclick_event_visible_seconds_sum") == pytest.approx(2.1)  # a clock that is ahead counts as 0
    assert value("nextclick_event_visible_seconds_bucket", {"le": "0.1"}) == 2


def test_it_is_ready_once_the_group_has_dealt_and_while_nothing_is_away(port: int, health: Health) -> None:
    assert get(port, "/healthz") == (200, "alive\n")
    assert get(port, "/readyz") == (503, "starting\n")
    health.turned(joined=False, paused=False)
    assert get(port, "/readyz") == (503, "no partitions assigned yet\n")
    health.turned(joined=True, paused=False)
    assert get(port, "/readyz") == (200, "ready\n")
    health.turned(joined=True, paused=True)
    assert get(port, "/readyz") == (503, "paused until what batches are written to answers again\n")
    assert get(port, "/healthz")[0] == 200  # a restart would not bring the store back


def test_a_loop_that_stands_still_is_neither_alive_nor_ready() -> None:
    health = Health(stalled_seconds=0)
    health.turned(joined=True, paused=False)
    with serve_http("127.0.0.1", 0, CollectorRegistry(), health.liveness, health.readiness) as port:
        assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 503


def test_only_what_is_meant_is_served(port: int) -> None:
    assert "nextclick_paused 0.0" in get(port, "/metrics")[1]
    assert get(port, "/")[0] == get(port, "/metrics/../etc")[0] == 404


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(MetricsPortError, match=f"127.0.0.1:{port} .*set METRICS_PORT"),
            StreamingMetrics().served(port, "127.0.0.1", Health(60)),
        ):
            pass


def test_it_serves_on_ipv6_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    health = Health(60)
    with (
        serve_http("::1", 0, CollectorRegistry(), health.liveness, health.readiness) as port,
        socket.create_connection(("::1", port)),
    ):
        pass
