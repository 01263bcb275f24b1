"""The audit lines: which operator did what, to whom, from where, and what came of it."""

from __future__ import annotations

from typing import Literal

import structlog

from quart_app.services import ChannelConnection

Outcome = Literal["done", "skipped", "failed", "begun"]

log = structlog.get_logger("busctl.audit")


class Audit:
    """Writes a line for everything that the operator at one connection does.

    Args:
        connection: the operator's.
    """

    def __init__(self, connection: ChannelConnection) -> None:
        self._connection = connection

    def note(self, action: str, outcome: Outcome, of_client: str | None = None, **about: object) -> None:
        """Write a line.

        Args:
            action: what was done.
            outcome: what came of it.
            of_client: to which client.
            about: what else there is to say.
        """
        target = about if of_client is None else {"of_client": of_client, **about}
        log.info(
            "operator action",
            action=action,
            outcome=outcome,
            operator=self._connection.identity.user or "anonymous",
            address=self._connection.address,
            **target,
        )
