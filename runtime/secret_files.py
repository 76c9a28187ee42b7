"""Secrets by reference: any secret setting NAME may also be given as NAME_FILE, the path of a file that holds it."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from runtime.errors import SecretFileError


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the files; NAME itself wins where both are set. A line's end after the secret is no part of it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Raises SecretFileError if the file cannot be read."""
        variable = f"{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path or not _is_secret(field.annotation):
            return None, field_name, False
        try:
            return Path(path).read_text().rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SecretFileError(f"{variable} names {path}, which cannot be read: {why}") from error

    def __call__(self) -> dict[str, Any]:
        """What was found, by field."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)
