"""`python -m streaming consumer` or `python -m streaming archive`, as containers start them."""

import argparse
import logging
import sys

from streaming.errors import StreamingError
from streaming.settings import StreamingSettings


def main() -> int:
    """Exit status: 0 after a stop by signal, 1 with one line on stderr if the start failed."""
    parser = argparse.ArgumentParser(prog="python -m streaming", description=__doc__)
    parser.add_argument("part", choices=["consumer", "archive"])
    parser.add_argument("--verbose", action="store_true", help="one line a batch")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    if arguments.verbose:
        logging.getLogger("streaming").setLevel(logging.DEBUG)
    try:
        _run(arguments.part)
    except StreamingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(part: str) -> None:
    settings = StreamingSettings()
    if part == "consumer":
        from streaming.consumer import run_consumer

        run_consumer(settings)
    else:
        from streaming.archive import run_archive

        run_archive(settings)


if __name__ == "__main__":
    sys.exit(main())
