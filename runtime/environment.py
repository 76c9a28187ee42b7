"""The environment stays as it is, for us and for our children, whatever a library sets while it is imported.

merlin.schema, which NVTabular imports, sets PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python: a process that inherits that
runs protobuf at a fraction of its speed. Feast sets PROMETHEUS_MULTIPROC_DIR: such a process writes its metrics into
Feast's folder.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CHOOSE_AT_IMPORT = ("google.protobuf.message", "prometheus_client")
"""Both look at the environment once, at their first import: that has to be before a library has changed it."""


@contextmanager
def environment_kept() -> Iterator[None]:
    """For a block of imports: what they do to the environment is undone at its end."""
    for name in _CHOOSE_AT_IMPORT:
        importlib.import_module(name)
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
