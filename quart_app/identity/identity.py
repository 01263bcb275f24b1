"""Identity: who is at the other end of a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bus import client_ids


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, and what that lets it do.

    Args:
        client_id: whose subjects, jobs and events it has.
        user: who that is, as the identity provider says (`sub`); None for somebody anonymous.
        groups: which groups the token lists, in its order.
        operator: whether it may see and do what operators may.
        expires_at: until when that is proved, in seconds since 1970; None for ever.
    """

    client_id: str
    user: str | None = None
    groups: tuple[str, ...] = ()
    operator: bool = False
    expires_at: float | None = None

    @classmethod
    def anonymous(cls) -> Self:
        """Somebody new, who proved nothing."""
        return cls(client_ids.anonymous())
