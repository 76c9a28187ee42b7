"""Starts a container of the chart from an image's root file system, the way a node would, on this machine's network."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.images import probes

Object = dict[str, Any]
Secrets = Mapping[str, Mapping[str, str]]
"""Keys and values of each Secret, by its name."""

START_SECONDS = 60
READY_TRIES = 30
JOB_SECONDS = 240


@dataclass(frozen=True)
class MountedImage:
    """A root file system that the tests share, and the image's configuration."""

    root: Path
    configuration: Object

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the image sets."""
        return dict(variable.split("=", 1) for variable in self.configuration["Env"])


@dataclass(frozen=True)
class Finished:
    """How a container ended, and all that it wrote."""

    returncode: int
    log: str


class Container:
    """A running container, by its first process."""

    def __init__(self, process: "subprocess.Popen[bytes]", pod: Object, log: Path) -> None:
        self.description: Object = pod["spec"]["containers"][0]
        self._process = process
        self._grace_seconds: int = pod["spec"].get("terminationGracePeriodSeconds", 30)
        self._log = log

    @property
    def pid(self) -> int:
        """Its process 1, as this machine numbers it."""
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for _ in range(START_SECONDS * 20):
            if children := path.read_text().split():
                return int(children[0])
            time.sleep(0.05)
        raise AssertionError(f"no container:\n{self.log()}")

    def log(self) -> str:
        """What it has written so far, on both streams."""
        return self._log.read_text()

    def wait_until_ready(self) -> None:
        """Started within the failures that the chart allows before a restart, then ready. Raises AssertionError."""
        self._wait_for("startupProbe", self.description["startupProbe"]["failureThreshold"])
        self._wait_for("readinessProbe", READY_TRIES)

    def _wait_for(self, name: str, tries: int) -> None:
        for _ in range(tries):
            if probes.succeeds(self.description, name):
                return
            if self._process.poll() is not None:
                raise AssertionError(f"ended before {name} succeeded:\n{self.log()}")
            time.sleep(self.description[name]["periodSeconds"])
        raise AssertionError(f"{name} failed {tries} times:\n{self.log()}")

    def terminate(self) -> Finished:
        """End it as Kubernetes ends a pod: SIGTERM, and time for as long as the pod asks."""
        os.kill(self.pid, signal.SIGTERM)
        return self.finish(self._grace_seconds)

    def finish(self, seconds: float) -> Finished:
        """Wait for its end. Raises AssertionError when that takes too long."""
        try:
            returncode = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds} s:\n{self.log()}") from None
        return Finished(returncode, self.log())

    def kill(self) -> None:
        """End it at once; its children go with it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Kubelet:
    """One node: claims that its pods share, Secrets that they refer to, and folders that each pod has for itself."""

    def __init__(self, image: MountedImage, folder: Path, secrets: Secrets) -> None:
        self._image = image
        self._folder = folder
        self._secrets = secrets
        self._numbers = itertools.count()

    def claim(self, name: str) -> Path:
        """Folder of a PersistentVolumeClaim."""
        return _folder(self._folder / "claims" / name, 0o2775, 10001)

    @contextmanager
    def running(self, workload: Object, command: list[str] | None = None) -> Iterator[Container]:
        """The container of a Deployment, Job or CronJob, or another command in its place; ended with the block."""
        pod = _pod(workload)
        pod_folder = self._folder / f"pod-{next(self._numbers)}"
        (pod_folder / "stage").mkdir(parents=True)
        description = pod_folder / "container.json"
        description.write_text(json.dumps(self._describe(pod, pod_folder, command)))
        log = pod_folder / "log"
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        entering = [*namespaces, sys.executable, str(Path(__file__).with_name("enter.py")), str(description)]
        with log.open("wb") as stream:
            process = subprocess.Popen(entering, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        container = Container(process, pod, log)
        try:
            yield container
        finally:
            container.kill()

    def run(self, workload: Object, command: list[str] | None = None) -> Finished:
        """Run a container until it ends by itself."""
        with self.running(workload, command) as container:
            return container.finish(JOB_SECONDS)

    def _describe(self, pod: Object, pod_folder: Path, command: list[str] | None) -> Object:
        (container,) = pod["spec"]["containers"]
        user, may = pod["spec"]["securityContext"], container["securityContext"]
        assert user["runAsNonRoot"]
        assert not may["allowPrivilegeEscalation"]
        assert may["capabilities"] == {"drop": ["ALL"]}
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        return {
            "root": str(self._image.root),
            "stage": str(pod_folder / "stage"),
            "folder": self._image.configuration["WorkingDir"],
            "read_only": may["readOnlyRootFilesystem"],
            "uid": user["runAsUser"],
            "gid": user["runAsGroup"],
            "groups": [user["fsGroup"]],
            "command": command or container["command"] + container.get("args", []),
            "environment": self._image.environment | self._environment(container),
            "volumes": [
                {
                    "source": str(self._volume(volumes[mount["name"]], pod_folder, user["fsGroup"])),
                    "path": mount["mountPath"],
                    "read_only": mount.get("readOnly", False),
                }
                for mount in container.get("volumeMounts", [])
            ],
        }

    def _environment(self, container: Object) -> dict[str, str]:
        whole = [self._secrets[source["secretRef"]["name"]] for source in container.get("envFrom", [])]
        found = {name: value for secret in whole for name, value in secret.items()}
        for variable in container.get("env", []):
            if "value" in variable:
                found[variable["name"]] = variable["value"]
                continue
            reference = variable["valueFrom"]["secretKeyRef"]
            secret = self._secrets.get(reference["name"], {})
            if reference["key"] in secret or not reference.get("optional"):
                found[variable["name"]] = secret[reference["key"]]
        return found

    def _volume(self, volume: Object, pod_folder: Path, group: int) -> Path:
        if "persistentVolumeClaim" in volume:
            return self.claim(volume["persistentVolumeClaim"]["claimName"])
        folder = pod_folder / "volumes" / volume["name"]
        if "secret" not in volume:
            assert "emptyDir" in volume, volume
            return _folder(folder, 0o2777, group)
        _folder(folder, 0o2755, group)
        for key, value in self._secrets[volume["secret"]["secretName"]].items():
            (folder / key).write_text(value)
            os.chown(folder / key, 0, group)
            (folder / key).chmod(volume["secret"]["defaultMode"])
        return folder


def _pod(workload: Object) -> Object:
    spec = workload["spec"]
    pod: Object = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
    return pod


def _folder(path: Path, mode: int, group: int) -> Path:
    """Owned by root and by the group of the pod's volumes."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, 0, group)
    path.chmod(mode)
    return path
