"""`python -m feature_repo`: bring Feast's registry up to date, once before the processes that share it start."""

from runtime.program import run


def main() -> None:
    """Have the registry hold what `definitions.py` says. Raises RegistryError when it cannot be used."""
    from feature_repo.feature_store import apply
    from feature_repo.settings import SharedSettings
    from runtime.logs import set_up_logs

    settings = SharedSettings()
    set_up_logs(settings)
    print("feature definitions applied" if apply(settings) else "feature definitions were up to date")


if __name__ == "__main__":
    run(main)
