"""The ensemble in Triton: one request a session, and a check of every version before its answers count."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import (
    ModelConfigRequest,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
)

from feature_repo.schema import Event
from runtime.triton_address import addresses_of
from serving.errors import ModelDeadlineError, ModelError, ModelIncompatibleError, ModelUnavailableError
from serving.recommendation import Ranking
from serving.triton.compatibility import find_mismatches
from serving.triton.servers import Resolve, TritonServer, TritonServers
from serving.triton.tensors import candidates, infer_request, request_template

log = logging.getLogger(__name__)
_CHECK_TIMEOUT_SECONDS = 5.0


class TritonModel:
    """Ranks with the newest version of one ensemble. Create it inside the event loop that uses it.

    `reserve` is the time in seconds to leave of a deadline for answering without the model.
    """

    def __init__(self, url: str, model_name: str, reserve: float, resolve: Resolve = addresses_of) -> None:
        self.url = url
        self.model_name = model_name
        self._reserve = reserve
        self._servers = TritonServers(url, resolve)
        self._template = request_template(model_name)
        self._verdicts: dict[str, str] = {}  # version → what does not fit, empty when all does
        self._checking = asyncio.Lock()
        self._state: str | None = None
        self.is_ready = False

    async def rank(self, visit: Sequence[Event], exclude_seen: bool, deadline: float) -> Ranking:
        """The ensemble's candidates for the visit. Raises a ModelError when there are none before `deadline`."""
        left = deadline - time.monotonic() - self._reserve
        if left <= 0:
            raise ModelDeadlineError("no time left to call the model")
        request = infer_request(self._template, visit, exclude_seen)
        server, response = await self._infer(request, left)
        if self._verdicts.get(response.model_version) != "":
            await self._check_before(server, response.model_version, deadline - self._reserve)
        try:
            return Ranking(candidates(response), response.model_name, response.model_version)
        except KeyError as error:
            raise ModelIncompatibleError(f"{self.model_name}: the response lacks output {error}") from error

    async def check(self) -> None:
        """Compare the newest version of each server with this gateway and remember in `is_ready` whether one fits.

        Raises ModelIncompatibleError if none does, ModelUnavailableError if none is served.
        """
        await self._servers.refresh()
        servers = self._servers.all
        found = await asyncio.gather(*(self._check_server(server) for server in servers))
        versions = [version for version in found if isinstance(version, str)]
        self.is_ready = bool(versions)
        if versions:
            several = f", {len(versions)} of {len(servers)} servers" if len(servers) > 1 else ""
            newest = max(versions, key=int)
            self._log_change(f"ready: {self.model_name} version {newest} at {self.url}{several}", logging.INFO)
            return
        errors = [error for error in found if isinstance(error, ModelError)]
        errors.sort(key=lambda error: not isinstance(error, ModelIncompatibleError))
        error = errors[0] if errors else ModelUnavailableError(f"no address is known for {self.url}")
        self._log_change(f"degraded: {error}", logging.WARNING)
        raise error

    async def look(self) -> None:
        """Check, and raise nothing: what is found shows in the log and in `is_ready`."""
        with suppress(ModelError):
            await self.check()

    async def close(self) -> None:
        await self._servers.close()

    async def _infer(self, request: ModelInferRequest, left: float) -> tuple[TritonServer, ModelInferResponse]:
        """Ask a server, and another one if that has no model or is gone: to ask twice does no harm."""
        deadline = time.monotonic() + left
        server = self._servers.pick()
        if server is None:
            raise ModelUnavailableError(f"no address is known for {self.url}")
        try:
            return server, await server.stub.ModelInfer(request, timeout=left)
        except grpc.aio.AioRpcError as error:
            problem = _model_error(error)
            other = self._servers.pick(besides=server)
            left = deadline - time.monotonic()
            if not isinstance(problem, ModelUnavailableError) or other is None or left <= 0:
                raise problem from error
        try:
            return other, await other.stub.ModelInfer(request, timeout=left)
        except grpc.aio.AioRpcError as error:
            raise _model_error(error) from error

    async def _check_server(self, server: TritonServer) -> str | ModelError:
        """The newest version that the server serves, if it fits, else what is wrong."""
        try:
            version = await self._newest_version(server)
            # Older versions stay known: their answers may still be under way.
            self._verdicts[version] = await self._inspect(server, version)
            self._raise_unless_fit(version)
        except ModelError as error:
            server.is_usable = False
            return error
        server.is_usable = True
        return version

    async def _check_before(self, server: TritonServer, version: str, deadline: float) -> None:
        """Check a version that answered before `look` saw it, once, however many calls meet it together."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()), self._checking:
                if version not in self._verdicts:
                    self._verdicts[version] = await self._inspect(server, version)
        except TimeoutError as error:
            raise ModelDeadlineError(f"{self.model_name} version {version} could not be checked in time") from error
        self._raise_unless_fit(version)

    def _raise_unless_fit(self, version: str) -> None:
        if problem := self._verdicts[version]:
            raise ModelIncompatibleError(f"{self.model_name} version {version} does not fit this gateway: {problem}")

    async def _newest_version(self, server: TritonServer) -> str:
        request = ModelMetadataRequest(name=self.model_name)
        try:
            metadata = await server.stub.ModelMetadata(request, timeout=_CHECK_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _model_error(error) from error
        if not metadata.versions:
            raise ModelUnavailableError(f"{self.model_name} has no version loaded")
        return str(max(metadata.versions, key=int))

    async def _inspect(self, server: TritonServer, version: str) -> str:
        ensemble = await self._config(server, self.model_name, version)
        parts = [
            await self._config(server, step.model_name, str(step.model_version) if step.model_version > 0 else "")
            for step in ensemble.ensemble_scheduling.step
        ]
        return "; ".join(find_mismatches(ensemble, parts))

    async def _config(self, server: TritonServer, name: str, version: str) -> ModelConfig:
        request = ModelConfigRequest(name=name, version=version)
        try:
            response = await server.stub.ModelConfig(request, timeout=_CHECK_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _model_error(error) from error
        return response.config

    def _log_change(self, state: str, level: int) -> None:
        if state != self._state:
            log.log(level, "model %s", state)
            self._state = state


def _model_error(error: grpc.aio.AioRpcError) -> ModelError:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ModelDeadlineError("the model did not answer in time")
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return ModelIncompatibleError(f"Triton refused the request: {error.details()}")
    return ModelUnavailableError(f"Triton answered {error.code().name}: {error.details()}")
