"""The gateway process: what it is made of, in which order it starts, and how it stops without dropping a call."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from feature_repo.online.availability import AvailabilityReader
from feature_repo.online.store import OnlineStoreReader
from runtime.metrics_http import Verdict, serve_http
from runtime.signals import on_first_signal
from serving.availability import Availability
from serving.background import Background, finish, raise_if_cancelled
from serving.errors import GatewayStartError, ModelError, ModelIncompatibleError
from serving.fallback import PopularItems
from serving.features import SessionFeatures
from serving.metrics import GatewayMetrics
from serving.proto.recommender_pb2_grpc import add_RecommenderServicer_to_server
from serving.recommender import Recommender
from serving.rpc.interceptors import CallInterceptor
from serving.rpc.service import SERVICE_NAME, RecommenderService
from serving.settings import ServingSettings
from serving.tls import Certificate
from serving.triton.model import TritonModel

log = logging.getLogger(__name__)
_READINESS_SECONDS = 0.5
_STALLED_SECONDS = 30.0
"""Age of the event loop's last turn at which /healthz says no."""
_CALLS_END_SECONDS, _LOOPS_END_SECONDS, _CLOSE_SECONDS = 2.0, 3.0, 3.0
"""Longest waits of a stop, after the grace. The chart gives a pod 10 s for them and for the last resort."""
_LAST_RESORT_SECONDS = 9.0


class Gateway:
    """One gateway. Create, start and stop it inside one event loop, or use it as an async context manager.

    `port` and `metrics_port` are the ones really listened on, once started.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self.port = settings.gateway_port
        self.metrics_port = settings.gateway_metrics_port
        self._metrics = GatewayMetrics()
        self._store = OnlineStoreReader(settings)
        self._popular = PopularItems(self._store, settings.popular_items_refresh_seconds)
        self._availability_store = AvailabilityReader(settings)
        self._availability = Availability(self._availability_store)
        reserve = settings.fallback_reserve_seconds
        self._model = TritonModel(settings.triton_grpc_url, settings.triton_model_name, reserve)
        self._health = health_aio.HealthServicer()
        self._server = self._build_server()
        self._http = ExitStack()
        self._turned_at = time.monotonic()
        self._has_answers = False
        self._stopping = False
        self._background = Background()

    async def start(self) -> None:
        """Look at the model, the popular items and what is unavailable, then listen.

        Raises GatewayStartError if the served model does not fit this gateway or a port is taken. A model or a store
        that is merely absent is no error: answers are degraded until it is there.
        """
        await self._check_model()
        await asyncio.gather(self._popular.refresh(), self._availability.refresh())
        await self._update_readiness()
        raise_if_cancelled()
        self._listen()
        await self._server.start()
        raise_if_cancelled()
        settings, repeat = self._settings, self._background.repeat
        repeat("popular items", self._popular.refresh, self._popular.pause)
        repeat("availability", self._availability.refresh, lambda: settings.availability_refresh_seconds)
        repeat("model watch", self._model.look, lambda: settings.model_check_seconds)
        repeat("readiness", self._update_readiness, lambda: _READINESS_SECONDS)
        log.info("listening on %s:%d, metrics on %d", self._settings.gateway_host, self.port, self.metrics_port)

    async def stop(self) -> None:
        """Say NOT_SERVING, go on answering for the notice, finish the calls in flight, then close everything.

        Takes 8 s at most beside the notice and the grace: the log names what has not ended by then.
        """
        self._stopping = True
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.shutdown_notice_seconds if self._background.is_running else 0)
        grace = self._settings.shutdown_grace_seconds
        await finish("calls in flight", self._server.stop(grace), grace + _CALLS_END_SECONDS)
        await self._background.stop(_LOOPS_END_SECONDS)
        await asyncio.gather(
            finish("connections to Triton", self._model.close(), _CLOSE_SECONDS),
            finish("connections to the online store", self._store.close(), _CLOSE_SECONDS),
            finish("connections for availability", self._availability_store.close(), _CLOSE_SECONDS),
        )
        self._http.close()
        log.info("stopped")

    async def wait_for_failure(self) -> None:
        """Return when a background loop ends, which none does by itself; raises what ended it."""
        await self._background.wait_for_failure()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def _build_server(self) -> grpc.aio.Server:
        settings = self._settings
        server = grpc.aio.server(
            interceptors=[CallInterceptor(SERVICE_NAME, self._metrics, settings.max_concurrent_requests)],
            options=[
                # Without this a second gateway would share the port unnoticed.
                ("grpc.so_reuseport", 0),
                ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)),
            ],
        )
        sessions = SessionFeatures(self._store, settings.feature_store_timeout_seconds)
        service = RecommenderService(
            Recommender(sessions, self._model, self._popular, self._availability),
            settings.request_timeout_seconds,
            settings.max_request_timeout_seconds,
        )
        add_RecommenderServicer_to_server(service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def _listen(self) -> None:
        host, port = self._settings.gateway_host, self._settings.gateway_port
        try:
            self.port = self._add_port(f"{host}:{port}")
        except RuntimeError as error:
            raise GatewayStartError(f"cannot listen on {host}:{port}; set GATEWAY_PORT to a free port, or 0") from error
        metrics_port = self._settings.gateway_metrics_port
        try:
            server = serve_http(host, metrics_port, self._metrics.registry, self._liveness, self._readiness)
            self.metrics_port = self._http.enter_context(server)
        except OSError as error:
            raise GatewayStartError(
                f"cannot listen on {host}:{metrics_port}; set GATEWAY_METRICS_PORT to a free port, or 0"
            ) from error

    def _add_port(self, address: str) -> int:
        cert_file, key_file = self._settings.gateway_tls_cert_file, self._settings.gateway_tls_key_file
        if cert_file and key_file:
            return self._server.add_secure_port(address, Certificate(cert_file, key_file).credentials())
        return self._server.add_insecure_port(address)

    async def _check_model(self) -> None:
        try:
            await self._model.check()
        except ModelIncompatibleError as error:
            raise GatewayStartError(f"{error}; export and load a model built by this version of Nextclick") from error
        except ModelError:
            log.warning("starting without a model: answering popular items until Triton serves one")

    async def _update_readiness(self) -> None:
        """Health of the service by name, and /readyz: whether there is anything to answer with. Of "", and /healthz:
        whether the process lives."""
        self._turned_at = time.monotonic()
        self._has_answers = self._model.is_ready or self._popular.was_read
        status = health_pb2.HealthCheckResponse
        await self._health.set(SERVICE_NAME, status.SERVING if self._has_answers else status.NOT_SERVING)
        self._metrics.set_state(self._model.is_ready, len(self._popular.items), len(self._availability.unavailable))

    def _liveness(self) -> Verdict:
        ago = time.monotonic() - self._turned_at
        return (True, "alive") if ago < _STALLED_SECONDS else (False, f"the event loop last turned {ago:.0f} s ago")

    def _readiness(self) -> Verdict:
        if self._stopping:
            return False, "stopping"
        return (True, "ready") if self._has_answers else (False, "neither a model nor popular items to answer with")


def serve(settings: ServingSettings, on_ready: Callable[[Gateway], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. `on_ready` is called once the gateway listens.

    Raises GatewayStartError as `Gateway.start` does.
    """
    stop_takes = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + _LAST_RESORT_SECONDS
    last_resort = threading.Timer(stop_takes, _end_at_once, (stop_takes,))
    last_resort.daemon = True
    try:
        asyncio.run(_serve(settings, on_ready, last_resort.start))
    finally:
        last_resort.cancel()


async def _serve(
    settings: ServingSettings, on_ready: Callable[[Gateway], None] | None, on_stop: Callable[[], None]
) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_first_signal(lambda: loop.call_soon_threadsafe(asked_to_stop.set))
    gateway = Gateway(settings)
    work = asyncio.create_task(_run(gateway, on_ready))
    asked = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    on_stop()
    failed = work.done()
    if not failed:
        log.info("stopping: calls in flight are finished first; a second signal ends the gateway at once")
    asked.cancel()
    work.cancel()
    await asyncio.wait({work}, timeout=_CLOSE_SECONDS)
    await gateway.stop()
    if failed:
        work.result()


async def _run(gateway: Gateway, on_ready: Callable[[Gateway], None] | None) -> None:
    await gateway.start()
    if on_ready:
        on_ready(gateway)
    await gateway.wait_for_failure()


def _end_at_once(seconds: float) -> None:
    log.critical("did not stop within %g s: ended at once", seconds)
    os._exit(1)
