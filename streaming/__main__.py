"""`python -m streaming consumer`, `catalogue` or `archive`, as containers start them."""

import argparse
import sys

from runtime.exit_status import exit_status
from runtime.logs import set_up_logs
from streaming.settings import StreamingSettings


def main() -> int:
    """Exit status: 0 after a stop by signal, 1 with one line on stderr if the start failed."""
    parser = argparse.ArgumentParser(prog="python -m streaming", description=__doc__)
    parser.add_argument("part", choices=["consumer", "catalogue", "archive"])
    parser.add_argument("--verbose", action="store_true", help="one line a batch")
    arguments = parser.parse_args()
    return exit_status(lambda: _start(arguments.part, arguments.verbose))


def _start(part: str, verbose: bool) -> None:
    settings = StreamingSettings()
    set_up_logs(settings, verbose=verbose)
    if part == "consumer":
        from streaming.sessions.consumer import run_consumer

        run_consumer(settings)
    elif part == "catalogue":
        from streaming.catalogue.consumer import run_catalogue

        run_catalogue(settings)
    else:
        from streaming.archive.writer import run_archive

        run_archive(settings)


if __name__ == "__main__":
    sys.exit(main())
