"""`python -m feature_repo`: bring Feast's registry up to date, once before the processes that share it start."""

import sys

from sqlalchemy.exc import SQLAlchemyError

from feature_repo.errors import RegistryError
from feature_repo.feature_store import apply
from feature_repo.settings import SharedSettings
from runtime.exit_status import exit_status
from runtime.logs import set_up_logs


def main() -> None:
    """Have the registry hold what `definitions.py` says. Raises RegistryError when it cannot be used."""
    settings = SharedSettings()
    set_up_logs(settings)
    try:
        changed = apply(settings)
    except ModuleNotFoundError as error:
        raise RegistryError(
            f"{error.name} is not installed here: REGISTRY_URL names a database that needs it"
        ) from error
    except SQLAlchemyError as error:
        # Its text may repeat the URL with the password in it: the kind of error has to do.
        kind = type(error).__name__
        raise RegistryError(
            f"the registry at REGISTRY_URL cannot be used ({kind}): is its database up, and does it let this user in?"
        ) from error
    print("feature definitions applied" if changed else "feature definitions were up to date")


if __name__ == "__main__":
    sys.exit(exit_status(main))
