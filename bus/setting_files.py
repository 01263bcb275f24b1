"""Settings from files: `<VARIABLE>_FILE` names a file that has the value of `<VARIABLE>`.

So a secret need not stand in an environment or on a command line; Docker, Kubernetes and systemd all mount secrets as
files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"
LARGEST_FILE = 64 * 1024
"""Bytes of the largest file that is taken for a value."""


class FileSource(PydanticBaseSettingsSource):
    """Reads those variables whose file is named.

    Args:
        settings_cls: the settings.
        variables: the variable of each field.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._variables = variables
        self._environment = {name.upper(): value for name, value in os.environ.items()}  # as pydantic reads the others

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value, the key that pydantic knows it by, and False: none of them is JSON."""
        variable = self._variables[field_name] + SUFFIX
        path = self._environment.get(variable)
        return (_Unread(variable, path) if path else None), field.alias or field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


class _Unread:
    """A file that is read when the setting is checked, so that what is wrong with it is said like the rest."""

    def __init__(self, variable: str, path: str) -> None:
        self._variable = variable
        self._path = path

    def read(self) -> str:
        name = f"the file that {self._variable} names"
        value = content(self._path, name).removesuffix("\n").removesuffix("\r")
        if not value.strip():
            raise ValueError(f"{name} is blank: write a value into it, or unset {self._variable}")
        return value


def content(path: str, name: str) -> str:
    """What is in a file.

    Args:
        name: what to call it.

    Raises:
        ValueError: it cannot be read, is too large, or is no regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # another kind might never end
            raise ValueError(f"{name} is no regular file")
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise ValueError(f"{name} has more than {LARGEST_FILE} bytes")
    return data.decode(errors="surrogateescape")


def read(value: object) -> object:
    """A value, from its file if that is where it is.

    Raises:
        ValueError: the file cannot be read; the text says why, and not what is in it.
    """
    return value.read() if isinstance(value, _Unread) else value
