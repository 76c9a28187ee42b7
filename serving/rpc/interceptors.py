"""Around every call: exceptions become gRPC statuses by one table, calls are counted, timed and limited."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from runtime.limited_log import LimitedLog
from serving.errors import (
    FeatureStoreUnavailableError,
    InvalidRequestError,
    ModelDeadlineError,
    ModelError,
    OverloadedError,
    ServingError,
)
from serving.metrics import GatewayMetrics
from serving.rpc.degraded_reasons import reason_name
from serving.rpc.unreadable import deserializer, readable, refusing

log = logging.getLogger(__name__)

STATUS_BY_ERROR: dict[type[Exception], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FeatureStoreUnavailableError: grpc.StatusCode.UNAVAILABLE,
    ModelDeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    ModelError: grpc.StatusCode.UNAVAILABLE,
}
"""The most derived class that is listed decides; what is not listed is INTERNAL and its text stays in the log."""

Handler = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Code and message for the caller."""
    for kind in type(error).__mro__:
        if kind in STATUS_BY_ERROR:
            return STATUS_BY_ERROR[kind], str(error)
    return grpc.StatusCode.INTERNAL, "internal error; the gateway's log has the details"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the unary methods of one service. Of the others, health and reflection, it refuses only requests that
    cannot be read: they are not limited, so they answer under overload."""

    def __init__(self, service: str, metrics: GatewayMetrics, max_concurrent: int) -> None:
        self._prefix = f"/{service}/"
        self._metrics = metrics
        self._max_concurrent = max_concurrent
        self._in_flight = 0
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}
        self._caller_errors = LimitedLog(log)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The method's handler inside `_call`, built at its first call."""
        name: str = handler_call_details.method
        wrapped = self._wrapped.get(name)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        ours = name.startswith(self._prefix)
        self._wrapped[name] = (
            self._wrap(name.removeprefix(self._prefix), handler) if ours else self._guard(name, handler)
        )
        return self._wrapped[name]

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Any:
            return await self._call(method, handler.unary_unary, request, context)

        deserialize = deserializer(handler.request_deserializer)
        return grpc.unary_unary_rpc_method_handler(behaviour, deserialize, handler.response_serializer)

    def _guard(self, name: str, handler: Any) -> grpc.RpcMethodHandler:
        async def refuse(error: InvalidRequestError, context: grpc.aio.ServicerContext) -> None:
            status, message = status_of(error)
            self._log_failure(name, status.name, error)
            await context.abort(status, message)

        return refusing(handler, refuse)

    async def _call(self, method: str, handler: Handler, request: Any, context: grpc.aio.ServicerContext) -> Any:
        started = time.perf_counter()
        code, reason = grpc.StatusCode.OK.name, ""
        try:
            response = await self._limited(handler, request, context)
            reason = reason_name(getattr(response, "degraded_reason", 0))
            return response
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED.name
            raise
        except Exception as error:
            status, message = status_of(error)
            code = status.name
            self._log_failure(method, code, error)
            await context.abort(status, message)
        finally:
            self._metrics.observe(method, code, reason, time.perf_counter() - started)

    async def _limited(self, handler: Handler, request: Any, context: grpc.aio.ServicerContext) -> Any:
        if self._in_flight >= self._max_concurrent:
            raise OverloadedError(f"{self._max_concurrent} calls are being answered already; retry with back-off")
        self._in_flight += 1
        self._metrics.set_in_flight(self._in_flight)
        try:
            return await handler(readable(request), context)
        finally:
            self._in_flight -= 1
            self._metrics.set_in_flight(self._in_flight)

    def _log_failure(self, method: str, code: str, error: Exception) -> None:
        if isinstance(error, ServingError):
            self._caller_errors.warning("%s: %s: %s", method, code, error)
        else:
            log.error("%s: %s", method, code, exc_info=error)
