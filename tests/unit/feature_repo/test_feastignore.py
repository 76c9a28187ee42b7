"""`.feastignore` names every module beside `definitions.py`: `feast apply` would import the others a second time."""

import pytest

from tests.support.project import PROJECT

FOLDER = PROJECT / "feature_repo"


def listed() -> list[str]:
    return (FOLDER / ".feastignore").read_text().splitlines()


def test_every_module_and_every_folder_of_modules_is_listed_once() -> None:
    modules = [path.name for path in FOLDER.glob("*.py")]
    folders = [path.name for path in FOLDER.iterdir() if any(path.glob("**/*.py"))]
    assert sorted(listed()) == sorted({*modules, *folders} - {"__init__.py", "definitions.py"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # Feast's own imports
def test_feast_finds_the_definitions_only() -> None:
    from feature_repo.feature_store import quieten_dask

    quieten_dask()
    from feast.repo_operations import get_repo_files

    assert get_repo_files(FOLDER) == [FOLDER / "definitions.py"]
