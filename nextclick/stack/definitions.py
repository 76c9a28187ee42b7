"""Brings Feast's registry up to date while the servers start, since importing Feast takes as long as they do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from feature_repo.feature_store import apply
from feature_repo.settings import SharedSettings


@contextmanager
def definitions_applied() -> Iterator[None]:
    """Apply `feature_repo/definitions.py` beside the block; at its end that is done, or its error is raised."""
    with ThreadPoolExecutor(1, "definitions") as background:
        applied = background.submit(apply, SharedSettings())
        yield
        applied.result()
