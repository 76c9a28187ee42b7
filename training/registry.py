"""Makes Triton serve an exported version: inner models first, then the ensemble that names them."""

import time

from training.errors import ExportError
from training.triton_config import ALL_MODELS

READY_TIMEOUT_S = 60.0
POLL_S = 0.05


def load(triton_grpc_url: str, version: int, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Load `version` of all four models into the Triton at host:port, which must run in explicit mode on the
    repository exported into; returns once it answers, warmed.

    The ensemble before keeps answering until the new one takes over. Raises ExportError when Triton does not.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(triton_grpc_url)
    try:
        for name in ALL_MODELS:
            client.load_model(name, client_timeout=timeout_s)  # returns when warmed
            _wait_ready(client, name, version, timeout_s)
    except InferenceServerException as error:
        raise ExportError(f"Triton at {triton_grpc_url} did not load version {version}: {error.message()}") from error
    finally:
        client.close()


def _wait_ready(client: object, name: str, version: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not client.is_model_ready(name, str(version)):  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            raise ExportError(f"Triton loaded {name}, but its version {version} is not ready after {timeout_s:.0f} s")
        time.sleep(POLL_S)
