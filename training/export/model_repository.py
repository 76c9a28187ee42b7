"""Triton's model repository, in a folder or in any object store that fsspec knows, and how versions get there."""

import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec

from training.errors import ExportError

CONFIG_FILE = "config.pbtxt"
TEMPORARY_PREFIX = ".exporting-"
PLACEHOLDER = "placeholder"
"""File of a version that has none: object stores know no empty folder, and Triton wants one for an ensemble."""


def open_repository(location: Path | str) -> "ModelRepository":
    """The repository at a path or an fsspec URL; it need not exist yet. Raises ExportError for a URL of no use."""
    return RemoteRepository(location) if isinstance(location, str) else LocalRepository(location)


class ModelRepository(ABC):
    """`<model>/config.pbtxt` and `<model>/<version>/…`. A file appears whole or not at all."""

    @abstractmethod
    def versions(self, model: str) -> list[int]:
        """The versions there are, oldest first."""

    @abstractmethod
    def add_version(self, model: str, version: int, files: dict[str, bytes]) -> None:
        """Write a version's files. Raises ExportError if the version is there already."""

    @abstractmethod
    def write_config(self, model: str, text: str) -> None:
        """Create or replace a model's config.pbtxt."""

    @abstractmethod
    def remove_version(self, model: str, version: int) -> None:
        """Remove a version's files."""


class LocalRepository(ModelRepository):
    """In a folder: a version is written under a temporary name, then renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def versions(self, model: str) -> list[int]:
        folder = self._path / model
        if not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())

    def add_version(self, model: str, version: int, files: dict[str, bytes]) -> None:
        folder = self._path / model
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder))
        temporary.chmod(0o755)
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        try:
            temporary.rename(folder / str(version))
        except OSError as error:
            shutil.rmtree(temporary)
            raise _taken(f"{folder / str(version)}") from error

    def write_config(self, model: str, text: str) -> None:
        path = self._path / model / CONFIG_FILE
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}")  # another export may write as well
        temporary.write_text(text)
        temporary.replace(path)

    def remove_version(self, model: str, version: int) -> None:
        with suppress(FileNotFoundError):  # another export has removed it
            shutil.rmtree(self._path / model / str(version))


class RemoteRepository(ModelRepository):
    """In an object store: each file is put by one request, and a version's only where there is none yet."""

    def __init__(self, url: str) -> None:
        self._url = url
        with self._explained():
            self._fs, self._root = fsspec.url_to_fs(url)

    def versions(self, model: str) -> list[int]:
        start = f"{self._root}/{model}/"
        with self._explained():
            self._fs.invalidate_cache()
            names = {path.removeprefix(start).partition("/")[0] for path in self._fs.find(start)}
        return sorted(int(name) for name in names if name.isdecimal())

    def add_version(self, model: str, version: int, files: dict[str, bytes]) -> None:
        for name, content in (files or {PLACEHOLDER: b"\n"}).items():
            path = f"{self._root}/{model}/{version}/{name}"
            with self._explained():
                try:
                    self._fs.pipe_file(path, content, mode="create")
                except FileExistsError as error:
                    raise _taken(path) from error

    def write_config(self, model: str, text: str) -> None:
        with self._explained():
            self._fs.pipe_file(f"{self._root}/{model}/{CONFIG_FILE}", text.encode())

    def remove_version(self, model: str, version: int) -> None:
        with self._explained(), suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{model}/{version}", recursive=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what the block raises into ExportError: each store has exceptions of its own."""
        try:
            yield
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"MODEL_REPOSITORY {self._url}: {type(error).__name__}: {error}") from error


def superseded(version: int, by: int) -> ExportError:
    """What is said where another export came first or last: which one is served is certain, and it is not this one."""
    return ExportError(
        f"version {version} is not served: another export at the same time wrote version {by}. Run it again if this "
        "run is the one to serve"
    )


def _taken(place: str) -> ExportError:
    return ExportError(f"{place} appeared meanwhile: another export is running, try again after it")
