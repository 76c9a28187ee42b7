"""Helm and a Kubernetes control plane, built from pinned Go modules: `python -m tests.cluster.tools` builds them once.

They lie outside the checkout, under `$XDG_CACHE_HOME/nextclick`, in a folder named after the modules' hash and Go's
version.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from nextclick.stack.install import install_locked

MODULE = Path(__file__).resolve().parent / "tools"
REQUIRED = "NEXTCLICK_REQUIRE_CLUSTER"
"""Environment variable that turns a skip for want of tools into a failure."""
GO_VERSION = (1, 26)
BUILD_SECONDS = 3600

_MODULE_FILES = ("go.mod", "go.sum", "main.go")
_VERSIONS = {
    "k8s.io/component-base/version.gitVersion": "v1.36.3",
    "k8s.io/component-base/version.gitMajor": "1",
    "k8s.io/component-base/version.gitMinor": "36",
    "helm.sh/helm/v3/internal/version.version": "v3.22.0",
    **{f"helm.sh/helm/v3/pkg/{part}.k8sVersionMajor": "1" for part in ("chartutil", "lint/rules")},
    **{f"helm.sh/helm/v3/pkg/{part}.k8sVersionMinor": "36" for part in ("chartutil", "lint/rules")},
}
"""What release builds tell the programs of themselves. Without it Helm takes every cluster for an ancient one."""
_FLAGS = (
    "-trimpath",
    # Nobody debugs these: it saves a tenth of the compiling.
    "-gcflags=all=-dwarf=false",
    f"-ldflags=-s -w {' '.join(f'-X {name}={version}' for name, version in _VERSIONS.items())}",
)
_PROGRAMS = (".", "helm.sh/helm/v3/cmd/helm", "sigs.k8s.io/kwok/cmd/kwok")
_KWOK = "sigs.k8s.io/kwok"
_STAGES = ("node/fast/node-initialize", "pod/fast/pod-ready", "pod/fast/pod-complete", "pod/fast/pod-delete")


@dataclass(frozen=True)
class Definitions:
    """Custom resource definitions that lie as files in a Go module; `sum` is what go.sum would say of it."""

    module: str
    sum: str
    folder: str
    names: tuple[str, ...]


_DEFINITIONS = (
    Definitions(
        "github.com/kedacore/keda/v2@v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        "config/crd/bases",
        ("keda.sh_scaledobjects", "keda.sh_triggerauthentications"),
    ),
    Definitions(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd",
        tuple(f"monitoring.coreos.com_{name}" for name in ("podmonitors", "prometheusrules", "servicemonitors")),
    ),
    Definitions(
        "github.com/cert-manager/cert-manager@v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        "deploy/crds",
        tuple(f"cert-manager.io_{name}" for name in ("certificates", "issuers", "clusterissuers")),
    ),
)


class NoToolsError(Exception):
    """The tools are not built, or cannot be; the message says what is needed."""


@dataclass(frozen=True)
class Tools:
    """What was built, in one folder."""

    folder: Path

    @property
    def helm(self) -> Path:
        """Helm's command line."""
        return self.folder / "bin" / "helm"

    @property
    def kubernetes(self) -> Path:
        """Etcd, the control plane and kubectl, chosen by the first argument."""
        return self.folder / "bin" / "kubernetes"

    @property
    def kwok(self) -> Path:
        """Plays the kubelet of nodes that do not exist."""
        return self.folder / "bin" / "kwok"

    @property
    def definitions(self) -> Path:
        """Folder of CRDs of KEDA, the Prometheus operator and cert-manager."""
        return self.folder / "crds"

    @property
    def stages(self) -> Path:
        """Folder of KWOK's stages: what happens to a node or a pod, and when."""
        return self.folder / "stages"


def find() -> Tools:
    """The tools, where they are built already. Raises NoToolsError."""
    tools = Tools(_cache() / f"cluster-tools-{_hash(_pins())}")
    if not tools.folder.is_dir():
        raise NoToolsError("Helm and the Kubernetes control plane are not built yet: run `make cluster-tools`")
    return tools


def build() -> Tools:
    """The tools, built where they are not yet. Raises NoToolsError, CalledProcessError."""
    return Tools(install_locked(_cache(), "cluster-tools", _pins(), _build))


def found_or_skipped() -> Tools:
    """The tools for a test, which is skipped without them. Where NEXTCLICK_REQUIRE_CLUSTER is set they are built, or
    waited for where they are being built, and the test fails if that fails."""
    try:
        return build() if _required() else find()
    except NoToolsError as error:
        skip_or_fail(str(error))


def skip_or_fail(missing: str) -> NoReturn:
    """Skip the test for want of what is named, or fail it where NEXTCLICK_REQUIRE_CLUSTER is set."""
    (pytest.fail if _required() else pytest.skip)(missing)


def _required() -> bool:
    return os.environ.get(REQUIRED, "0") not in ("", "0")


def _build(target: Path) -> None:
    for folder in ("bin", "crds", "stages"):
        (target / folder).mkdir()
    for definitions in _DEFINITIONS:
        source = _downloaded(definitions) / definitions.folder
        for name in definitions.names:
            shutil.copyfile(source / f"{name}.yaml", target / "crds" / f"{name}.yaml")
    _go("mod", "download", _KWOK)
    kwok = Path(_go("list", "-m", "-f", "{{.Dir}}", _KWOK).strip())
    for stage in _STAGES:
        shutil.copyfile(kwok / "kustomize/stage" / f"{stage}.yaml", target / "stages" / f"{Path(stage).name}.yaml")
    _go("build", *_FLAGS, "-o", f"{target / 'bin'}/", *_PROGRAMS)


def _downloaded(definitions: Definitions) -> Path:
    found = json.loads(_go("mod", "download", "-json", definitions.module, cwd=MODULE.parent))
    if found["Sum"] != definitions.sum:
        raise NoToolsError(f"{definitions.module} has the sum {found['Sum']}, not {definitions.sum}")
    return Path(found["Dir"])


def _go(*arguments: str, cwd: Path = MODULE) -> str:
    go = shutil.which("go")
    if go is None:
        wanted = ".".join(map(str, GO_VERSION))
        raise NoToolsError(f"Go {wanted} or newer builds Helm and the Kubernetes control plane, and none is on PATH")
    # One build for every machine: no C compiler, no other Go than the one that is there.
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run([go, *arguments], cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        raise NoToolsError(f"go {arguments[0]} failed; its messages stand above")
    return done.stdout


def _pins() -> bytes:
    files = b"".join((MODULE / name).read_bytes() for name in _MODULE_FILES)
    return files + repr((_DEFINITIONS, _STAGES, _FLAGS, _go("env", "GOVERSION", "GOARCH"))).encode()


def _hash(pins: bytes) -> str:
    return hashlib.sha256(pins).hexdigest()[:12]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "nextclick"


if __name__ == "__main__":
    try:
        print(build().folder)
    except NoToolsError as error:
        sys.exit(str(error))
