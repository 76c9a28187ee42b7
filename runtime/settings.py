"""What every process's settings have in common: where they come from, and how a wrong one is told."""

import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from runtime.logs import LogSettings
from runtime.printable import printable
from runtime.secret_files import SecretFiles

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DEFAULT_HOME = PROJECT_ROOT / ".nextclick"
"""Where NEXTCLICK_HOME is not set."""


def absolute(path: Path) -> Path:
    """The path from the root, `~` resolved. Raises ValueError for a name that other programs would not find."""
    text = str(path)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError(f"{printable(text)!r} holds a control character or is no text in UTF-8: choose another path")
    try:
        return path.expanduser().resolve()
    except RuntimeError as error:  # no such user's home, or links that go round
        raise ValueError(f"{text}: {error}") from error


def _no_file(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is no folder")
    return path


Folder = Annotated[Path, AfterValidator(absolute)]
HomeFolder = Annotated[Path, AfterValidator(absolute), AfterValidator(_no_file)]
"""A folder, or a place where one can be made."""


class ProcessSettings(LogSettings):
    """Settings read from what is given in code, then the environment, then files that hold secrets."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, the first one wins."""
        return init_settings, env_settings, SecretFiles(settings_cls)


def settings_problem(error: ValidationError) -> str:
    """The first setting that is wrong and why, in one line; others may only follow from it."""
    problem = error.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in problem["loc"]).upper()
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message if message.startswith(name) else f"{name}: {message}"
