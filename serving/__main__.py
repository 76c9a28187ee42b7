"""`python -m serving`: the gateway with its settings from the environment, as the container runs it."""

import sys

from pydantic import ValidationError

from feature_repo.errors import NextclickError
from feature_repo.logs import set_up_logs
from feature_repo.settings import settings_problem
from serving.server import serve
from serving.settings import ServingSettings


def main() -> int:
    """Serve until told to stop; exit status 1 and one line with the reason when the gateway cannot start."""
    try:
        settings = ServingSettings()
        set_up_logs(settings)
        serve(settings)
    except ValidationError as error:
        print(settings_problem(error), file=sys.stderr)
        return 1
    except NextclickError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
