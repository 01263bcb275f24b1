"""From what a token says to who that is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from bus import InvalidName, Settings, client_ids, subjects
from quart_app.errors import Unauthorized
from quart_app.identity.identity import Identity
from quart_app.identity.token import Claims, expiry
from quart_app.sparse_log import SparseLog

no_groups = SparseLog("a token lists what cannot be the name of a group, or too many; those are left out")

MOST_GROUPS = 1000
"""Entries of a groups claim that are looked at."""


def identity_of(claims: Claims, settings: Settings) -> Identity:
    """The user that a verified token names.

    Args:
        claims: what it says.
        settings: which of its claims mean what.

    Raises:
        Unauthorized: it names no user.
    """
    user = claims.get("sub")
    if not isinstance(user, str) or not user:
        raise Unauthorized("the token has no sub: it names no user")
    client_id = client_ids.of_user(user)
    listed = dict.fromkeys(_texts(claim(claims, settings.auth_groups_claim)))
    groups = tuple(name for name in islice(listed, MOST_GROUPS) if _is_group(name))
    if len(groups) < len(listed):
        no_groups.warn(client_id=client_id, listed=len(listed), left_out=len(listed) - len(groups))
    return Identity(
        client_id=client_id,
        user=user,
        groups=groups,
        operator=settings.auth_operator_value in _texts(claim(claims, settings.auth_operator_claim)),
        expires_at=expiry(claims),
    )


def claim(claims: Claims, path: str) -> Any:
    """The claim of this name, else what the dots of the name lead to; None if there is neither.

    Names of claims have dots too: https://example.com/groups.
    """
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _is_group(name: str) -> bool:
    try:
        subjects.group(name)
    except InvalidName:
        return False
    return True
