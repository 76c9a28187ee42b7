"""Builds the images from the committed Dockerfiles, without a Docker engine: `python -m tests.images.build services`.

A Debian with Python stands in for python:3.11-slim-bookworm. Images lie outside the checkout, in a store of their own
under `$XDG_CACHE_HOME/nextclick/images`, and are built anew only when what they are made of has changed.
"""

import functools
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nextclick.stack.install import one_at_a_time
from tests.cluster.tools import skip_or_fail
from tests.support.project import PROJECT

IMAGES = ("services", "training")
BUILD_SECONDS = 3600

_PROGRAMS = ("buildah", "mmdebstrap", "unshare", "mount")
_PACKAGES = "ca-certificates,libstdc++6,passwd,python3,python3-venv"
"""With the essential ones, what the real base has and we use."""
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BASE = f"""\
FROM scratch
ADD base.tar /
ENV SSL_CERT_FILE={_CERTIFICATES} PIP_CERT={_CERTIFICATES}
"""
_BASE_PARTS = [_BASE.encode(), _PACKAGES.encode()]


class NoBuilderError(Exception):
    """Images cannot be built here; the message says what is needed."""


def require_builder() -> None:
    """Raises NoBuilderError unless this machine can build images and run what is in them."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NoBuilderError(f"{' and '.join(missing)} not found, images need: `apt-get install buildah mmdebstrap`")
    if os.geteuid() != 0:
        raise NoBuilderError("images are built and mounted by root, and this is another user")


def built_or_skipped(image: str) -> str:
    """An image's name for a test, which is skipped without a builder, or fails where NEXTCLICK_REQUIRE_CLUSTER is."""
    try:
        require_builder()
    except NoBuilderError as error:
        skip_or_fail(str(error))
    return build(image)


def build(image: str) -> str:
    """Name of the image `services` or `training`, built unless that has been done. Raises NoBuilderError."""
    require_builder()
    dockerfile = PROJECT / "images" / f"{image}.Dockerfile"
    name = f"localhost/nextclick-{image}:{_context_hash(dockerfile)}"
    with one_at_a_time(_folder() / "build.lock"):
        if not _exists(name):
            given = (f"--build-arg=BASE={_base()}", f"--build-arg=REVISION={_revision()}")
            arguments = (*given, "--file", str(dockerfile), "--tag", name, "--pull=never")
            buildah("build", *_volumes(), *arguments, str(PROJECT), show=True)
            _forget_others(name)
    return name


def buildah(*arguments: str, show: bool = False) -> str:
    """Run buildah on our store; what it prints, or nothing where that is shown instead."""
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": _driver()}
    store = _folder() / env["STORAGE_DRIVER"]
    command = ["buildah", "--root", str(store), "--runroot", str(store / "run"), *arguments]
    output = None if show else subprocess.PIPE
    done = subprocess.run(command, env=env, stdout=output, text=True, timeout=BUILD_SECONDS, check=True)
    return (done.stdout or "").strip()


def size_of(image: str) -> str:
    """An image's layers together, its base among them: `885 MB`."""
    return buildah("images", "--format", "{{.Size}}", image)


def _base() -> str:
    name = f"localhost/nextclick-base:{_hash(_BASE_PARTS)}"
    if not _exists(name):
        with tempfile.TemporaryDirectory(dir=_folder()) as context:
            archive = Path(context) / "base.tar"
            include = f"--include={_PACKAGES}"
            command = ["mmdebstrap", "--quiet", "--variant=essential", include, "bookworm", str(archive)]
            subprocess.run(command, check=True, timeout=BUILD_SECONDS)
            (Path(context) / "Dockerfile").write_text(_BASE)
            buildah("build", "--tag", name, context)
        _forget_others(name)
    return name


def _revision() -> str:
    """The commit on which the image is built; changes that are not committed yet may be in it as well."""
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.strip()


def _volumes() -> list[str]:
    """What the build sees of this machine: whom it trusts, and the packages that it has fetched before."""
    trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or _CERTIFICATES
    packages = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    packages.mkdir(parents=True, exist_ok=True)
    return [f"--volume={trusted}:{_CERTIFICATES}:ro", f"--volume={packages}:/var/cache/uv"]


def _context_hash(dockerfile: Path) -> str:
    """Of all that .dockerignore lets in, names and contents."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    allowed = [PROJECT / line.removeprefix("!") for line in lines if line.startswith("!")]
    files = [file for path in allowed for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    sources = sorted(file for file in files if "__pycache__" not in file.parts)
    parts = [part for file in sources for part in (str(file.relative_to(PROJECT)).encode(), file.read_bytes())]
    return _hash([dockerfile.read_bytes(), *_BASE_PARTS, *parts])


def _hash(parts: list[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _exists(name: str) -> bool:
    return bool(buildah("images", "--quiet", "--filter", f"reference={name}"))


def _forget_others(name: str) -> None:
    """Removes older images of the same kind, which would pile up at some 700 MB each."""
    kind = name.partition(":")[0]
    listed = buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()
    for other in (image for image in listed if image.startswith(f"{kind}:") and image != name):
        buildah("rmi", other)
    buildah("rmi", "--prune")


@functools.cache
def _driver() -> str:
    """overlay where this machine can mount it, else vfs, which copies every layer."""
    with tempfile.TemporaryDirectory(dir=_folder()) as folder:
        lower, upper, work, merged = (Path(folder) / name for name in ("lower", "upper", "work", "merged"))
        for path in (lower, upper, work, merged):
            path.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        command = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
        mounted = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False)
    return "vfs" if mounted.returncode else "overlay"


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(cache) / "nextclick" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or IMAGES:
            started = time.monotonic()
            built = build(wanted)
            print(f"{built}: {size_of(built)}, {time.monotonic() - started:.0f} s")
    except (NoBuilderError, subprocess.CalledProcessError) as error:
        sys.exit(f"no image: {error}")
