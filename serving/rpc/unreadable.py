"""Requests whose bytes are not the message that the method takes: INVALID_ARGUMENT for any method, not UNKNOWN.

gRPC itself answers what a deserializer raises with UNKNOWN and a traceback in the log. So ours raises nothing, and
whoever gets the request from it looks what it is.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from serving.errors import InvalidRequestError

Refuse = Callable[[InvalidRequestError, grpc.aio.ServicerContext], Awaitable[None]]
"""Ends the call with the error's status."""


class Unreadable:
    """Stands for a request that could not be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def readable(request: Any) -> Any:
    """The request. Raises InvalidRequestError where it is an Unreadable."""
    if isinstance(request, Unreadable):
        problem = f"{request.error}; is a text in it no UTF-8, or is it another message?"
        raise InvalidRequestError("request", problem) from request.error
    return request


def deserializer(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same, but with an Unreadable in place of what it raises."""

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except Exception as error:  # another one of each implementation of Protobuf
            return Unreadable(error)

    return read


def refusing(handler: Any, refuse: Refuse) -> grpc.RpcMethodHandler:
    """A method of any kind that refuses what it cannot read, and else does as before."""
    inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            given = _readable_ones(request) if handler.request_streaming else readable(request)
            if not inspect.isasyncgenfunction(inner):
                return await inner(given, context)
            async for response in inner(given, context):
                await context.write(response)
        except InvalidRequestError as error:
            await refuse(error, context)

    made: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = made[handler.request_streaming, handler.response_streaming]
    return make(behaviour, deserializer(handler.request_deserializer), handler.response_serializer)


async def _readable_ones(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield readable(request)
