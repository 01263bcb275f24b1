"""The environment variables that name the code of a project of one's own; `bus.settings` has all of them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from bus.environment import Environment

MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
"""The name of a module, packages before it."""

Modules = Annotated[tuple[str, ...], NoDecode]


class ProjectSettings(Environment):
    """Jobs, channels and an application besides, or instead of, those that come with this package."""

    example_jobs: bool = Field(
        True,
        description="Whether there are the example jobs analyze, default, generate and translate. Without them a job "
        "called default may be your own; without one, a request of unknown type is refused. The same for web "
        "processes, workers and busctl.",
    )
    jobs: Modules = Field(
        (),
        description="Modules with jobs of your own, separated by commas, such as shop.jobs; of a package the modules "
        "in it too. They are looked for among what is installed, then in the current directory. The same for web "
        "processes, workers and busctl.",
    )
    channels: Modules = Field(
        (),
        description="Modules with channels of your own, as BUS_JOBS. One that is derived from SystemChannel takes its "
        "place.",
    )
    app: str | None = Field(
        None,
        description="The Quart application that busctl serve, busctl dev and hypercorn quart_app:app serve, such as "
        "shop.app:app, if it is your own: init_app must have been called with it.",
    )

    @field_validator("jobs", "channels", mode="before")
    @classmethod
    def _names_modules(cls, value: object) -> object:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, tuple | list):
            return value
        names = tuple(dict.fromkeys(stripped for name in names if (stripped := str(name).strip())))
        for name in names:
            if not MODULE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a module, such as shop.jobs; separate several by commas")
        return names

    @field_validator("app")
    @classmethod
    def _names_an_application(cls, value: str | None) -> str | None:
        if not value:
            return None
        module, _, name = value.partition(":")
        if not (MODULE.fullmatch(module) and name.isidentifier()):
            raise ValueError("must be the name of a module, a colon, and the name of the application in it")
        return value
