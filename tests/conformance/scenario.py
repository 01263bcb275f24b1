"""A scenario, as clients/conformance/README.md describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

CONFORMANCE = Path(__file__).parents[2] / "clients" / "conformance"

KEYWORDS = {"is": "is_", "as": "as_job"}
"""What Python cannot name so."""


@dataclass(frozen=True)
class Scenario:
    """What is done, and what has to be seen.

    Args:
        name: what happens, as a sentence.
        proves: what may be relied on if it passes.
        server: `shared`; `own`, whose process may be stopped; or `jwt`, which asks for tokens.
        alone: whether it harms others that run meanwhile.
        steps: a verb, and what it is given.
    """

    name: str
    proves: str
    steps: list[tuple[str, dict[str, Any]]]
    server: str = "shared"
    alone: bool = False

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """One of a file."""
        steps = [
            (verb, {KEYWORDS.get(key, key): value for key, value in given.items()})
            for step in data["steps"]
            for verb, given in step.items()
        ]
        return cls(**data | {"steps": steps})


def scenarios() -> list[Scenario]:
    """All of them."""
    files = sorted((CONFORMANCE / "scenarios").glob("*.yaml"))
    return [Scenario.of(data) for file in files for data in yaml.safe_load(file.read_text())]
