"""Where the checkout lies that the tests are of, and what its libraries do to a process that imports them."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

SET_BY_LIBRARIES = ("PROMETHEUS_MULTIPROC_DIR", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
"""What Feast and Merlin set when a module of tests imports them; the programs that tests start must not have it."""
