"""Client ids: whose subjects, jobs and events are whose.

    anonymous()              # "q3kJ0vYzS7mXo2Hn4tB1Lw", a new one each time
    of_user("alice")         # "user-alice"
    of_user("auth0|x y")     # "user-" and 43 letters, digits, '-' or '_' that stand for it
    COMMAND_LINE             # "cli"

No two kinds have an id in common, and no two users have the same.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256

COMMAND_LINE = "cli"
"""Whose jobs `busctl submit` submits, unless it is told otherwise."""

USER = "user-"
"""What the id of every user begins with, and no other."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Names that can be read in the id; a digest has 43 characters, so none of them is another name's digest."""


def anonymous() -> str:
    """A new id that nobody can guess."""
    while (made := secrets.token_urlsafe(16)).startswith(USER):
        continue
    return made


def of_user(subject: str) -> str:
    """The id of a user: always the same one, and no other user's.

    Args:
        subject: how an identity provider names the user (`sub`): any text that can be written as UTF-8.
    """
    if _PLAIN.fullmatch(subject):
        return USER + subject
    return USER + urlsafe_b64encode(sha256(subject.encode()).digest()).rstrip(b"=").decode()


def is_user(client_id: str) -> bool:
    """Whether this is the id of a user, and not of somebody anonymous."""
    return client_id.startswith(USER)
