"""What one check of the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands."""

    GOOD = "good"
    UNSURE = "unsure"
    """It works, and will not for long, or not for everybody; or it could not be looked at."""
    BAD = "bad"
    """The system cannot do its work."""


@dataclass(frozen=True)
class Check:
    """One line.

    Args:
        area: what was looked at, in a word.
        state: how it stands.
        text: what was found.
        remedy: what to do about it: a command, or a setting; empty when it is good.
    """

    area: str
    state: State
    text: str
    remedy: str = ""


def good(area: str, text: str) -> Check:
    """All is well."""
    return Check(area, State.GOOD, text)


def unsure(area: str, text: str, remedy: str) -> Check:
    """Something is to be seen to."""
    return Check(area, State.UNSURE, text, remedy)


def bad(area: str, text: str, remedy: str) -> Check:
    """Something is broken."""
    return Check(area, State.BAD, text, remedy)
