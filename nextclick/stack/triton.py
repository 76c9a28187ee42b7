"""Triton: the wheel's tritonserver on loopback, with the backend `onnxruntime` of this folder added."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from feature_repo.schema import ENSEMBLE
from nextclick.stack.errors import NotReadyError
from nextclick.stack.home import link_to, log_path
from nextclick.stack.parts import Report
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.services import SERVERS_TIER, ServiceSpec
from nextclick.stack.settings import StackSettings
from nextclick.stack.triton_install import TritonFiles, install_triton

_BACKEND = Path(__file__).with_name("onnxruntime_backend") / "model.py"
_REPOSITORY = "repository"
_BACKENDS = "backends"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


class Triton:
    """The inference server, in explicit model control: a model is served once somebody loads it."""

    name = "triton"
    variable = "TRITON_GRPC_URL"
    ready_seconds = 120.0

    def __init__(self, settings: StackSettings) -> None:
        self._home = settings.nextclick_home
        self._folder = settings.nextclick_home / "triton"
        self._tools = settings.nextclick_tools
        self._repository = settings.model_repository

    def install(self, report: Report) -> None:
        """Builds its environment."""
        install_triton(self._tools, report)

    def service(self) -> ServiceSpec:
        """Lays out the backend folder and makes the model repository if it is missing."""
        files = install_triton(self._tools, lambda _: None)
        ports = choose_ports(self._folder / "ports.json", ["grpc", "http", "metrics"])
        self._lay_out_backends(files)
        self._repository.mkdir(parents=True, exist_ok=True)
        link_to(self._folder / _REPOSITORY, self._repository)
        remove_shared_memory(self._home)
        address = f"{HOST}:{ports['grpc']}"
        variables = {self.variable: address, "TRITON_HTTP_URL": f"{HOST}:{ports['http']}"}
        return ServiceSpec(
            name=self.name,
            argv=(str(files.executable), *self._arguments(ports)),
            cwd=self._folder,
            log=log_path(self._home, self.name),
            env=files.process_environment(),
            address=address,
            variables=variables,
            tier=SERVERS_TIER,
            residue=str(_SHARED_MEMORY / f"{_prefix(self._home)}*"),
        )

    def check(self, address: str) -> None:
        """Asks whether the server is ready to infer."""
        import tritonclient.grpc as triton

        client = triton.InferenceServerClient(address)
        try:
            if not client.is_server_ready(client_timeout=2):
                raise NotReadyError(f"Triton at {address} is not ready")
        except triton.InferenceServerException as error:
            raise NotReadyError(f"Triton does not answer at {address}: {error.message()}") from error
        finally:
            client.close()

    def settle(self, address: str, report: Report) -> None:
        """Loads the ensemble, and with it its models, if one has been exported."""
        if not (self._repository / ENSEMBLE / "config.pbtxt").is_file():
            return
        import tritonclient.grpc as triton

        client = triton.InferenceServerClient(address)
        try:
            report(f"loading {ENSEMBLE}")
            client.load_model(ENSEMBLE, client_timeout=60)
        except triton.InferenceServerException as error:
            report(f"{ENSEMBLE} could not be loaded, export it again: {error.message()}")
        finally:
            client.close()

    def _lay_out_backends(self, files: TritonFiles) -> None:
        backends = self._folder / _BACKENDS
        (backends / "onnxruntime").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_BACKEND, backends / "onnxruntime" / "model.py")
        link_to(backends / "python", files.python_backend)

    def _arguments(self, ports: dict[str, int]) -> list[str]:
        return [
            # Names only, beside which it runs: it starts its stub by a shell, which would read a path as code.
            f"--model-repository={_REPOSITORY}",
            "--model-control-mode=explicit",
            # The configurations are generated complete; completing them would start every model once more.
            "--disable-auto-complete-config",
            f"--backend-directory={_BACKENDS}",
            f"--backend-config=python,shm-region-prefix-name={_prefix(self._home)}",
            f"--backend-config=onnxruntime,shm-region-prefix-name={_prefix(self._home)}",
            *(f"--{name}-address={HOST}" for name in ports),
            *(f"--{name}-port={port}" for name, port in ports.items()),
            "--exit-timeout-secs=5",
            "--log-verbose=0",
        ]


def shared_memory(home: Path) -> Iterator[Path]:
    """Regions of memory that the Triton of this home shares with its stubs."""
    return _SHARED_MEMORY.glob(f"{_prefix(home)}*")


def remove_shared_memory(home: Path) -> None:
    """Takes away what a killed Triton of this home has left."""
    for region in shared_memory(home):
        region.unlink(missing_ok=True)


def _prefix(home: Path) -> str:
    return f"nextclick_{os.getuid()}_{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}_"
