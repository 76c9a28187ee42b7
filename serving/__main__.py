"""`python -m serving`: the gateway with its settings from the environment, as the container runs it."""

import logging
import sys

from pydantic import ValidationError

from feature_repo.errors import NextclickError
from serving.server import serve
from serving.settings import ServingSettings


def main() -> int:
    """Serve until told to stop; exit status 1 and a line for each reason when the gateway cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(ServingSettings())
    except ValidationError as error:
        for problem in error.errors():
            print(f"{str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 1
    except NextclickError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
