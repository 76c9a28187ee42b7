"""Builds Triton's own environment from its lock file: the server, its Python stub, NumPy 1 and ONNX Runtime."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from nextclick.stack.errors import StackError
from nextclick.stack.install import install_locked
from nextclick.stack.parts import Report
from nextclick.stack.processes import tie_to_this_process

LOCK_FILE = Path(__file__).with_name("triton.lock")

_PYTHON = "3.11"
_MINIMUM_GLIBC = (2, 35)
_PROJECT_ROOT = Path(__file__).resolve().parents[2]


class TritonFiles:
    """Paths inside an installation."""

    def __init__(self, root: Path) -> None:
        self.environment = root / "environment"
        self.server = root / "server"
        self.executable = self.server / "bin" / "tritonserver"
        self.python_backend = self.server / "backends" / "python"
        self._packages = self.environment / "lib" / f"python{_PYTHON}" / "site-packages"

    @property
    def wheel(self) -> Path:
        """Where the wheel put the server."""
        return self._packages / "pytriton" / "tritonserver"

    def process_environment(self) -> dict[str, str]:
        """What the server and its stub need: their libraries, and a `python3` that sees Triton's packages only.

        The stub ignores PYTHONPATH and finds its packages through the first `python3` on PATH.
        """
        dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
        libraries = [str(self._packages / "nvidia_pytriton.libs"), *_python_library_folders()]
        return {name: value for name, value in os.environ.items() if name not in dropped} | {
            "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        }


def install_triton(tools: Path, report: Report) -> TritonFiles:
    """The installation under `tools`, made if it is not there; raises StackError."""
    _check_machine()

    def build(folder: Path) -> None:
        report("building Triton's environment (380 MB)")
        _create_environment(folder / "environment")
        report("laying out Triton's server")
        _lay_out(TritonFiles(folder))

    lock = LOCK_FILE.read_bytes() + sys.base_prefix.encode()
    return TritonFiles(install_locked(tools, "triton", lock, build))


def _check_machine() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    library, release = platform.libc_ver()
    if version != _PYTHON:
        raise StackError(f"Triton's environment needs Python {_PYTHON}, not {version}; or set TRITON_GRPC_URL")
    if platform.machine() != "x86_64" or library != "glibc" or _numbers(release) < _MINIMUM_GLIBC:
        raise StackError("Triton's wheel runs on x86-64 Linux with glibc 2.35 or newer; elsewhere set TRITON_GRPC_URL")
    if not _python_library_folders():
        raise StackError(
            f"Triton needs libpython{_PYTHON}.so.1.0, which this Python lacks: install the package libpython{_PYTHON}, "
            "or use a Python built with --enable-shared; or set TRITON_GRPC_URL"
        )


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in release.split(".") if number.isdecimal())


def _python_library_folders() -> list[str]:
    """Folders with the shared library of this Python's version, its own first."""
    name = f"libpython{_PYTHON}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    own = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"]
    candidates = [*own, f"/usr/lib/{multiarch}", "/usr/lib64", "/usr/lib"]
    return [folder for folder in candidates if folder and (Path(folder) / name).is_file()][:1]


def _create_environment(environment: Path) -> None:
    python = str(environment / "bin" / "python3")
    if uv := _find_uv():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)])
        _run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(LOCK_FILE)])
    else:
        _run([sys.executable, "-m", "venv", str(environment)])
        _run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK_FILE)])


def _find_uv() -> str | None:
    beside = (_PROJECT_ROOT / ".uv" / "bin", Path(sys.executable).parent)
    return shutil.which("uv") or next((str(folder / "uv") for folder in beside if (folder / "uv").is_file()), None)


def _lay_out(files: TritonFiles) -> None:
    for name in ("bin", "caches", "backends"):
        shutil.copytree(files.wheel / name, files.server / name)
    stub = files.wheel / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    shutil.copy(stub, files.python_backend)
    for program in (files.executable, files.python_backend / stub.name):
        program.chmod(0o755)


def _run(argv: Sequence[str]) -> None:
    result = subprocess.run(
        argv,
        # Not the project's folder, whose [tool.uv] overrides versions that are right for the project only.
        cwd="/",
        preexec_fn=tie_to_this_process(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip()[-3000:]
        raise StackError(f"Triton's environment could not be built ({Path(argv[0]).name} failed):", output)
