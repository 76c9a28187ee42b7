import threading
import time
from pathlib import Path

import pytest

from nextclick.stack.install import install_locked


def test_an_installation_is_made_once_and_again_when_its_lock_changes(tmp_path: Path) -> None:
    built: list[Path] = []
    first = install_locked(tmp_path, "thing", b"lock 1", built.append)
    assert install_locked(tmp_path, "thing", b"lock 1", built.append) == first
    second = install_locked(tmp_path, "thing", b"lock 2", built.append)
    assert second != first
    assert len(built) == 2


def test_an_interrupted_installation_starts_anew(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install_locked(tmp_path, "thing", b"lock", interrupted)
    complete = install_locked(tmp_path, "thing", b"lock", lambda folder: (folder / "whole").touch())
    assert [path.name for path in complete.iterdir()] == ["whole"]


def test_those_who_install_at_once_share_one_installation(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        time.sleep(0.05)

    threads = [threading.Thread(target=install_locked, args=(tmp_path, "thing", b"lock", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
