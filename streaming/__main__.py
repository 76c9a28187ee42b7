"""`python -m streaming consumer`, `catalogue` or `archive`, as containers start them."""

import argparse
import sys

from pydantic import ValidationError

from feature_repo.errors import NextclickError
from feature_repo.logs import set_up_logs
from feature_repo.settings import settings_problem
from streaming.settings import StreamingSettings


def main() -> int:
    """Exit status: 0 after a stop by signal, 1 with one line on stderr if the start failed."""
    parser = argparse.ArgumentParser(prog="python -m streaming", description=__doc__)
    parser.add_argument("part", choices=["consumer", "catalogue", "archive"])
    parser.add_argument("--verbose", action="store_true", help="one line a batch")
    arguments = parser.parse_args()
    try:
        settings = StreamingSettings()
        set_up_logs(settings, verbose=arguments.verbose)
        _run(arguments.part, settings)
    except ValidationError as error:
        print(settings_problem(error), file=sys.stderr)
        return 1
    except NextclickError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(part: str, settings: StreamingSettings) -> None:
    if part == "consumer":
        from streaming.consumer import run_consumer

        run_consumer(settings)
    elif part == "catalogue":
        from streaming.catalogue import run_catalogue

        run_catalogue(settings)
    else:
        from streaming.archive import run_archive

        run_archive(settings)


if __name__ == "__main__":
    sys.exit(main())
