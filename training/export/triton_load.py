"""Makes Triton serve an exported version: inner models first, then the ensemble that names them."""

import time
from collections.abc import Callable
from typing import Any

from runtime.triton_address import addresses_of, stands_for_many
from training.errors import ExportError
from training.export.model_repository import superseded
from training.export.triton_config import ALL_MODELS

READY_TIMEOUT_S = 60.0
POLL_S = 0.05
ROUNDS = 5
"""How often at most it is looked whether servers have appeared while others loaded."""

Note = Callable[[str], None]
Resolve = Callable[[str], list[str]]


def load(
    triton_grpc_url: str,
    version: int,
    timeout_s: float = READY_TIMEOUT_S,
    note: Note = lambda _: None,
    resolve: Resolve = addresses_of,
) -> list[str]:
    """Load `version` of all four models into the Triton at `host:port`, or into every address that the host of
    `dns:///host:port` has, one after the other; they must run in explicit mode on the repository exported into.

    Returns the addresses once all of them answer, warmed. The ensemble before keeps answering until the new one takes
    over. A server that fails stops no other; raises ExportError that names those that did not load it.
    """
    loaded: list[str] = []
    problems: dict[str, str] = {}
    for _ in range(ROUNDS):
        addresses = _resolve(triton_grpc_url, version, resolve)
        # A server that has gone since is nobody's problem.
        problems = {address: problem for address, problem in problems.items() if address in addresses}
        new = [address for address in addresses if address not in loaded and address not in problems]
        if not new:
            break
        for address in new:
            note(f"Triton at {address} loads version {version} ({len(loaded) + 1} of {len(loaded) + len(new)})")
            try:
                _load_into(address, version, timeout_s)
                loaded.append(address)
            except ExportError as error:
                problems[address] = str(error)
        if not stands_for_many(triton_grpc_url):
            break
    if problems:
        raise ExportError(f"version {version} is written, but {'; '.join(problems.values())}")
    return loaded


def _resolve(url: str, version: int, resolve: Resolve) -> list[str]:
    try:
        return resolve(url)
    except (OSError, ValueError) as error:
        raise ExportError(f"version {version} is written, but no Triton is known at {url}: {error}") from error


def _load_into(address: str, version: int, timeout_s: float) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(address)
    try:
        for name in ALL_MODELS:
            client.load_model(name, client_timeout=timeout_s)  # returns when warmed
            _wait_ready(client, address, name, version, timeout_s)
    except InferenceServerException as error:
        raise ExportError(f"Triton at {address} did not load it: {error.message()}") from error
    finally:
        client.close()


def _wait_ready(client: Any, address: str, name: str, version: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not client.is_model_ready(name, str(version)):
        # What was loaded is what config.pbtxt names by now.
        if (newest := _newest_ready(client, name)) > version:
            raise superseded(version, newest)
        if time.monotonic() > deadline:
            raise ExportError(f"Triton at {address} did not load it: {name} is not ready after {timeout_s:.0f} s")
        time.sleep(POLL_S)


def _newest_ready(client: Any, name: str) -> int:
    models = client.get_model_repository_index().models
    return max((int(model.version) for model in models if model.name == name and model.state == "READY"), default=0)
