"""`python -m feature_repo`: bring Feast's registry up to date, once before the processes that share it start."""

import sys

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from feature_repo.errors import NextclickError
from feature_repo.feature_store import apply
from feature_repo.logs import set_up_logs
from feature_repo.settings import SharedSettings, settings_problem


def main() -> int:
    """Exit status 0 when the registry holds what `definitions.py` says, else 1 with one line on stderr."""
    try:
        settings = SharedSettings()
        set_up_logs(settings)
        changed = apply(settings)
    except ValidationError as error:
        print(settings_problem(error), file=sys.stderr)
        return 1
    except NextclickError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed here: REGISTRY_URL names a database that needs it", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        # Its text may repeat the URL with the password in it: the kind of error has to do.
        kind = type(error).__name__
        print(f"the registry at REGISTRY_URL cannot be used ({kind}): is its database up?", file=sys.stderr)
        return 1
    print("feature definitions applied" if changed else "feature definitions were up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
