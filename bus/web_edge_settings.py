"""The environment variables that say how web processes are reached."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from bus.environment import Environment

_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")


class WebEdgeSettings(Environment):
    """Settings of what stands between clients and web processes."""

    root_path: str = Field(
        "",
        description="The path below which everything is served, such as /bus where a proxy leads "
        "https://example.com/bus/ here, whether it removes that from the path or not. Unset, what the ASGI server says "
        "as root_path.",
    )

    @field_validator("root_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and (len(path) > 200 or not _PATH.fullmatch(path)):
            raise ValueError(
                "must be a path such as /bus or /tools/bus: a slash before each part, and letters, digits, - . _ ~"
            )
        return path
