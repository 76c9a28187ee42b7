"""`python -m streaming consumer`, `catalogue` or `archive`, as containers start them."""

from runtime.program import run


def main() -> None:
    """Run the part until it is told to stop. Raises what it raises when it cannot start."""
    import argparse
    import sys

    from runtime.printable import printable

    parser = argparse.ArgumentParser(prog="python -m streaming", description=__doc__)
    parser.add_argument("part", choices=["consumer", "catalogue", "archive"])
    parser.add_argument("--verbose", action="store_true", help="one line a batch")
    arguments = parser.parse_args([printable(argument) for argument in sys.argv[1:]])
    _start(arguments.part, arguments.verbose)


def _start(part: str, verbose: bool) -> None:
    from runtime.logs import set_up_logs
    from streaming.settings import StreamingSettings

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
    run(main)
