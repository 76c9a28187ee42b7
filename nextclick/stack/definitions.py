"""Brings Feast's registry up to date while the servers start, since importing Feast takes as long as they do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from feature_repo.feature_store import apply
from feature_repo.settings import SharedSettings


@contextmanager
def definitions_applied() -> Iterator[None]:
    """Apply `feature_repo/definitions.py` beside the block; at its end that is done, or its error is raised."""
    background = ThreadPoolExecutor(1, "definitions")
    try:
        applied = background.submit(apply, SharedSettings())
        yield
        applied.result()
    finally:
        background.shutdown(wait=False)  # an error or an interrupt of the block does not wait for it
