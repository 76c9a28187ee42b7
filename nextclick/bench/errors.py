"""The one error of the benchmarks."""

from runtime.errors import NextclickError


class BenchError(NextclickError):
    """A measurement could not be taken, or what it measured was not what it should have been."""
