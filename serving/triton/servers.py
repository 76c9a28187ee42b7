"""The Tritons that answer: one channel for each address that TRITON_GRPC_URL stands for, used in turn.

Each has a channel of its own, and not all of them one that balances, because a version is checked on the server that
answered with it: while an export goes from server to server, the next one may not have it yet.
"""

import asyncio
import logging
from collections.abc import Callable

import grpc
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from runtime.triton_address import addresses_of, stands_for_many

log = logging.getLogger(__name__)
_CHANNEL_OPTIONS = (
    # gRPC's own back-off grows to two minutes: far too long after a restart of Triton.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_LEAVE_SECONDS = 10.0
"""Time for the calls in flight to a server whose address is gone."""

Resolve = Callable[[str], list[str]]


class TritonServer:
    """One Triton. Create it inside the event loop that uses it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self.stub = GRPCInferenceServiceStub(self.channel)
        self.is_usable = True
        """False once a check found that it does not serve the model, or not one that fits."""

    @property
    def is_reachable(self) -> bool:
        """Whether it is connected, or was not tried yet."""
        return self.channel.get_state() in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE)


class TritonServers:
    """The servers of one URL; `resolve` turns it into addresses."""

    def __init__(self, url: str, resolve: Resolve = addresses_of) -> None:
        self._url = url
        self._resolve = resolve
        self._servers: list[TritonServer] = []
        self._next = 0
        self._is_asking_in_vain = False
        self._leaving: set[asyncio.Task[None]] = set()
        if not stands_for_many(url):
            self._servers.append(TritonServer(url))

    @property
    def all(self) -> list[TritonServer]:
        """Those that are known now."""
        return list(self._servers)

    async def refresh(self) -> None:
        """Take up addresses that are new and leave those that are gone; keep all when the name service fails."""
        if not stands_for_many(self._url):
            return
        try:
            addresses = await asyncio.to_thread(self._resolve, self._url)
        except OSError as error:
            if not self._is_asking_in_vain:
                log.warning("addresses of %s are not known: %s", self._url, error)
            self._is_asking_in_vain = True
            return
        self._is_asking_in_vain = False
        known = {server.address: server for server in self._servers}
        self._servers = [known.pop(address) if address in known else TritonServer(address) for address in addresses]
        for server in known.values():
            task = asyncio.create_task(server.channel.close(_LEAVE_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def pick(self, besides: TritonServer | None = None) -> TritonServer | None:
        """The next in turn, a usable one that is reachable if there is one; None when there is no other at all."""
        if len(self._servers) == 1 and besides is None:
            return self._servers[0]
        self._next += 1
        turn = self._next % max(1, len(self._servers))
        others = [server for server in self._servers[turn:] + self._servers[:turn] if server is not besides]
        good = (server for server in others if server.is_usable and server.is_reachable)
        return next(good, others[0] if others else None)

    async def close(self) -> None:
        """Close every channel; calls in flight end."""
        await asyncio.gather(*(server.channel.close() for server in self._servers), *self._leaving)
