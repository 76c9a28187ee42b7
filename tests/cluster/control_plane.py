"""A real Kubernetes control plane on loopback: etcd, API server, controller manager and scheduler, with nodes and pods
that KWOK plays."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
import yaml

from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.processes import tie_to_this_process
from tests.cluster.api import Api
from tests.cluster.nodes import LOAD_BALANCER, NODES
from tests.cluster.parts import command_lines
from tests.cluster.tools import Tools

READY_SECONDS = 60
STOP_SECONDS = 20
COMMAND_SECONDS = 120
POD_READY_MILLISECONDS = 300
"""How long a pod takes to become ready: an instant would leave a drain nothing to wait for."""

_LOG_LINES = 25
_FLEETING = {"events", "events.events.k8s.io", "leases.coordination.k8s.io"}


class ClusterError(Exception):
    """A part did not start or a command failed; the message carries what it wrote."""


class ControlPlane:
    """Everything of a cluster but machines; a context manager that ends each process it started."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self.tools = tools
        self.folder = folder
        self._ports = choose_ports(folder / "ports.json", ("etcd", "peer", "api"))
        self._running = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._write_certificates()
        self.api = Api(self._ports["api"], folder / "ca.pem", folder / "admin.pem", folder / "admin.key")
        self.kubeconfig = self._write_kubeconfig()
        self._write_stages()

    def __enter__(self) -> Self:
        try:
            self._start_parts()
            self.kubectl("apply", "--server-side", "-f", str(self.tools.definitions))
            self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": NODES}))
            self.wait("nodes ready", lambda: all(map(_is_ready, self.api.items("/api/v1/nodes"))))
            self.wait("custom resources served", self._serves_custom_resources)
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl writes. Raises ClusterError when it fails."""
        done = self.run([str(self.tools.kubernetes), "kubectl", *arguments], stdin)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @cached_property
    def namespaced_kinds(self) -> str:
        """Every kind of object that lies in a namespace, as kubectl lists them."""
        listed = self.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name")
        return ",".join(kind for kind in listed.split() if kind not in _FLEETING)

    def helm(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs Helm against this cluster; the caller looks at the exit status."""
        return self.run([str(self.tools.helm), *arguments])

    def run(self, command: Sequence[str], stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Runs a command that finds this cluster, and only this one, in its environment."""
        home = {
            name: str(self.folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        }
        env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(self.kubeconfig), **home}
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, timeout=COMMAND_SECONDS)

    def wait(self, what: str, done: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Waits until `done`, in which an OSError means not yet. Raises ClusterError after `seconds`."""
        deadline = time.monotonic() + seconds
        reason = ""
        while time.monotonic() < deadline:
            try:
                if done():
                    return
            except OSError as error:
                reason = f": {error}"
            time.sleep(0.05)
        raise ClusterError(f"waited {seconds:.0f} s for {what}{reason}")

    def _serves_custom_resources(self) -> bool:
        """An established kind still answers "initializing" for a while, which is an OSError here."""
        for definition in self.api.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
            spec = definition["spec"]
            for version in (each["name"] for each in spec["versions"] if each["served"]):
                self.api.items(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
        return True

    def _start_parts(self) -> None:
        for part, arguments in command_lines(self.folder, self._ports).items():
            program = [self.tools.kwok] if part == "kwok" else [self.tools.kubernetes, part]
            self._start(part, [*map(str, program), *arguments])
            if part == "kube-apiserver":
                self._await(part, lambda: self.api.text("/readyz") == "ok")
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        self._await("kube-controller-manager", lambda: bool(self.api.items(accounts)))

    def _start(self, part: str, command: Sequence[str]) -> None:
        with (self.folder / f"{part}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tie_to_this_process(),
            )
        self._running.callback(_stop, process)
        self._processes[part] = process

    def _await(self, part: str, ready: Callable[[], bool]) -> None:
        def ready_or_gone() -> bool:
            if (status := self._processes[part].poll()) is not None:
                raise ClusterError(f"{part} ended with status {status}")
            return ready()

        try:
            self.wait(part, ready_or_gone)
        except ClusterError as error:
            raise ClusterError(f"{error}. The end of its log:\n{self.log(part)}") from error

    def log(self, part: str) -> str:
        """The last lines that a part wrote."""
        lines = (self.folder / f"{part}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "(empty)"

    def _write_certificates(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        certificates = {
            "server": authority.issue_cert(HOST, "kubernetes.default.svc"),
            # What RBAC calls the group that may do everything.
            "admin": authority.issue_cert("admin.test", common_name="admin", organization_name="system:masters"),
            "accounts": authority.issue_cert("accounts.test"),
        }
        for name, certificate in certificates.items():
            certificate.cert_chain_pems[0].write_to_path(str(self.folder / f"{name}.pem"))
            certificate.private_key_pem.write_to_path(str(self.folder / f"{name}.key"))

    def _write_kubeconfig(self) -> Path:
        cluster = {
            "server": f"https://{HOST}:{self._ports['api']}",
            "certificate-authority": str(self.folder / "ca.pem"),
        }
        user = {"client-certificate": str(self.folder / "admin.pem"), "client-key": str(self.folder / "admin.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def _write_stages(self) -> None:
        stages = [yaml.safe_load(path.read_text()) for path in sorted(self.tools.stages.glob("*.yaml"))]
        for stage in stages:
            if stage["metadata"]["name"] == "pod-ready":
                stage["spec"]["delay"] = {"durationMilliseconds": POD_READY_MILLISECONDS}
        (self.folder / "stages.yaml").write_text(yaml.safe_dump_all([*stages, LOAD_BALANCER]))


def _is_ready(thing: dict[str, Any]) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a part by its pid; etcd asks for a second SIGTERM, and gets it."""
    for _ in range(2):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS / 4)
            return
    process.kill()
    process.wait(STOP_SECONDS)
