"""Becomes a container's process: volumes over a read-only root, devices, another user, no privileges, then its command.

`kubelet.py` calls it within mount and process namespaces of its own, so that it is process 1 and nothing that it mounts
is seen outside. Kubernetes would also filter system calls and give it a network of its own; this does neither.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

_DEVICES = ("null", "zero", "full", "random", "urandom")
_FROM_THE_NODE = ("/etc/hosts", "/etc/resolv.conf")
"""Files that the kubelet, too, lays over the image's."""
_MOUNT = shutil.which("mount") or "mount"
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38


def main(path: str) -> None:
    """Carry out the description in a JSON file; does not return."""
    wanted: dict[str, Any] = json.loads(Path(path).read_text())
    root = Path(wanted["stage"])
    _mount("--bind", wanted["root"], str(root))
    _mount_system(root)
    for volume in wanted["volumes"]:
        target = root / volume["path"].lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        _bind(volume["source"], target, read_only=volume["read_only"])
    if wanted["read_only"]:
        _mount("-o", "remount,bind,ro", str(root))
    os.chroot(root)
    os.chdir(wanted["folder"])
    _drop_privileges(wanted["uid"], wanted["gid"], wanted["groups"])
    os.execvpe(wanted["command"][0], wanted["command"], wanted["environment"])  # noqa: S606 - no shell is what we want


def _mount_system(root: Path) -> None:
    for name in ("proc", "dev"):
        (root / name).mkdir(exist_ok=True)
    _mount("-t", "proc", "proc", str(root / "proc"))
    devices = root / "dev"
    _mount("-t", "tmpfs", "-o", "mode=755,size=64k", "tmpfs", str(devices))
    for name in _DEVICES:
        (devices / name).touch()
        _mount("--bind", f"/dev/{name}", str(devices / name))
    (devices / "fd").symlink_to("/proc/self/fd")
    (devices / "shm").mkdir()
    _mount("-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", str(devices / "shm"))
    for name in _FROM_THE_NODE:
        target = root / name.lstrip("/")
        target.touch()
        _bind(name, target, read_only=True)


def _bind(source: str, target: Path, *, read_only: bool) -> None:
    _mount("--bind", source, str(target))
    if read_only:
        _mount("-o", "remount,bind,ro", str(target))


def _mount(*arguments: str) -> None:
    subprocess.run([_MOUNT, *arguments], check=True, timeout=60)


def _drop_privileges(uid: int, gid: int, groups: list[int]) -> None:
    """All capabilities go with the user; without new privileges and with an empty bounding set none comes back."""
    library = ctypes.CDLL(None, use_errno=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _must(library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _must(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _must(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main(sys.argv[1])
