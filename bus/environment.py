"""Reads settings from environment variables, and says in one line what is wrong with them."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bus import setting_files
from bus.errors import SettingsError
from bus.setting_values import reason

PREFIX = "BUS_"


class Environment(BaseSettings):
    """Base of settings whose fields are environment variables: `BUS_` and the field's name, unless it has an alias.

    A value may also stand in a file that `<VARIABLE>_FILE` names; the variable itself wins.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from: arguments, then variables, then the files that variables name."""
        variables = {field: cls.variable(field) for field in cls.model_fields}
        return init_settings, env_settings, setting_files.FileSource(settings_cls, variables)

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; `overrides` win over it.

        Raises:
            SettingsError: variables have values that cannot be used; the message, one line, names each of them and
                says why, and repeats nothing that may be secret.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            items = error.errors(include_url=False, include_input=False)
            reasons = [f"{cls.variable(str(item['loc'][0]))}: {reason(item)}" for item in items]
        # Outside the block: a traceback of it would show the values.
        raise SettingsError(
            "these settings cannot be used; correct the environment and start again: " + "; ".join(reasons)
        )

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field, e.g. `BUS_MAX_FRAME_BYTES` for `max_frame_bytes`."""
        info = cls.model_fields.get(field)
        if info is None:
            return field if field.isupper() else f"{PREFIX}{field}".upper()
        return info.alias or f"{PREFIX}{field}".upper()

    @classmethod
    def unknown(cls) -> list[str]:
        """Variables that look like settings and are none, each with the one that may be meant; for a warning."""
        variables = [cls.variable(field) for field in cls.model_fields]
        known = {*variables, *(name + setting_files.SUFFIX for name in variables)}
        found = []
        for name in sorted(os.environ):
            if name.upper().startswith(PREFIX) and name.upper() not in known:
                meant = get_close_matches(name.upper(), known, n=1, cutoff=0.8)
                found.append(f"{name} (is {meant[0]} meant?)" if meant else name)
        return found
