"""Where the archive's files lie, on a disk or in any store that fsspec knows, and how they are named.

`event_date=YYYY-MM-DD/<topic id>-<partition>-<first offset>-<end offset>.parquet`: offsets are never used twice under
one topic id, so files of another cluster, or of a topic created anew, can share the folder. A file appears whole or
not at all. A row may stand in several files whose ranges overlap, and is then the same in each: `archive_reader` takes
it once. That is why nothing here has to be removed for the archive to be right.
"""

import fcntl
import io
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

from feature_repo.archive.columns import EVENT_DATE
from feature_repo.archive.names import ArchiveFile, Listing, offsets_of
from feature_repo.errors import ArchiveError, ArchiveFileGoneError
from runtime.errors import NextclickError

_LOCK = ".maintenance"
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def open_archive(location: Path | str) -> "ArchiveFolder":
    """The archive at a path or an fsspec URL; it need not exist yet. Raises ArchiveError if fsspec cannot go there."""
    return RemoteArchive(location) if isinstance(location, str) else LocalArchive(location)


class ArchiveFolder(ABC):
    """Every method raises ArchiveError, and ArchiveFileGoneError if a file that is named is not there (any more)."""

    def __init__(self, location: Path | str) -> None:
        self.location = location

    def list(self) -> Listing:
        """Every file; none if the archive does not exist."""
        listing = Listing([], [])
        with self.explained():
            for path, size, modified in sorted(self._list()):
                folder, _, name = path.partition("/")
                if folder.startswith(f"{EVENT_DATE}=") and name.endswith(".parquet") and not name.startswith("."):
                    if offsets := offsets_of(name):
                        listing.files.append(ArchiveFile(path, size, modified, offsets))
                    else:
                        listing.foreign.append(path)
        return listing

    @abstractmethod
    def put(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        """Create a file or replace it, for good, by what `write` writes; a crash leaves what was there before."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""

    @abstractmethod
    def open(self, path: str) -> Any:
        """The file for pyarrow to read, to be closed by the caller."""

    @property
    @abstractmethod
    def arrow(self) -> tuple[FileSystem, str]:
        """How pyarrow sees the archive: a file system, and what a path of ours follows there."""

    def remove_temporaries(self, prefix: str = "") -> int:
        """Remove what killed writers left half written under names that start so; how many.

        A living writer that loses its file so writes it again.
        """
        return 0

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Only one process at a time rewrites files; raises ArchiveError if another one does. Writers go on."""
        yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the block raises into ArchiveError: each store has exceptions of its own."""
        try:
            yield
        except NextclickError:
            raise
        except FileNotFoundError as error:
            raise ArchiveFileGoneError(f"archive {self.location}: {error}") from error
        except Exception as error:
            raise ArchiveError(f"archive {self.location}: {type(error).__name__}: {error}") from error

    @abstractmethod
    def _list(self) -> Iterator[tuple[str, int, float]]:
        """Path below the archive, size and time of whatever lies in folders of the archive."""


class LocalArchive(ArchiveFolder):
    """On a disk: what is written is there for good, under its name, once `put` returns."""

    location: Path

    def put(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        """Create a file or replace it, for good, by what `write` writes; a crash leaves what was there before."""
        target = self.location / path
        # A name of its own: a writer that was taken for dead may write the same file at the same time.
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        with self.explained():
            _make_folder(target.parent)
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with self.explained():
            (self.location / path).unlink(missing_ok=True)

    def open(self, path: str) -> Any:
        """The file for pyarrow to read, to be closed by the caller."""
        with self.explained():
            return pa.OSFile(str(self.location / path))

    @property
    def arrow(self) -> tuple[FileSystem, str]:
        """How pyarrow sees the archive: a file system, and what a path of ours follows there."""
        return LocalFileSystem(), f"{self.location}/"

    def remove_temporaries(self, prefix: str = "") -> int:
        """Remove what killed writers left half written under names that start so; how many."""
        with self.explained():
            left = [*self.location.glob(f"{EVENT_DATE}=*/.{prefix}*.tmp")]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Only one process at a time rewrites files; raises ArchiveError if another one does. Writers go on."""
        with self.explained():
            _make_folder(self.location)
            lock = os.open(self.location / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            message = f"archive {self.location}: another compaction or erasure is at work there: wait for its end"
            raise ArchiveError(message) from error
        finally:
            os.close(lock)

    def _list(self) -> Iterator[tuple[str, int, float]]:
        for folder in self.location.glob(f"{EVENT_DATE}=*"):
            for entry in os.scandir(folder):
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # removed meanwhile
                    continue
                yield f"{folder.name}/{entry.name}", stat.st_size, stat.st_mtime


class RemoteArchive(ArchiveFolder):
    """In an object store: a file is put whole by one request, so there are no temporary names to be renamed."""

    location: str

    def __init__(self, location: str) -> None:
        super().__init__(location)
        scheme = location.partition("://")[0]
        try:
            self._fs, self._root = fsspec.url_to_fs(location)
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            hint = f"pip install 'nextclick[{extra}]'" if extra else str(error)
            raise ArchiveError(f"ARCHIVE_PATH starts with {scheme}://, which needs one more package: {hint}") from error
        except ValueError as error:
            raise ArchiveError(f"ARCHIVE_PATH: nothing is known of {scheme}://: {error}") from error

    def put(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        """Create a file or replace it, for good, by what `write` writes; a crash leaves what was there before."""
        buffer = io.BytesIO()
        with self.explained():
            write(buffer)
            self._fs.pipe_file(self._full(path), buffer.getvalue())

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with self.explained():
            try:
                self._fs.rm_file(self._full(path))
            except (FileNotFoundError, KeyError):  # KeyError comes from fsspec's memory://
                return

    def open(self, path: str) -> Any:
        """The file for pyarrow to read, to be closed by the caller."""
        with self.explained():
            return self._fs.open(self._full(path), "rb")

    @property
    def arrow(self) -> tuple[FileSystem, str]:
        """How pyarrow sees the archive: a file system, and what a path of ours follows there."""
        return PyFileSystem(FSSpecHandler(self._fs)), f"{self._root}/"

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _list(self) -> Iterator[tuple[str, int, float]]:
        self._fs.invalidate_cache()
        for full, info in self._fs.find(self._root, detail=True).items():
            yield full.removeprefix(f"{self._root}/"), info["size"], _time_of(info)


def _time_of(info: dict[str, Any]) -> float:
    """Stores call it differently; without any the file counts as old."""
    for name in ("mtime", "LastModified", "updated", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is not None:
            return value.timestamp() if isinstance(value, datetime) else float(value)
    return 0.0


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """The names in it are there for good from now on."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
