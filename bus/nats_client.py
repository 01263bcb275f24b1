"""nats-py's client, as it has to be among strangers: one message that cannot be read costs that message alone."""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client


class NatsClient(Client):
    """Passes over what nats-py 2.16 cannot decode.

    Subjects and header lines are bytes, and NATS does not require UTF-8 of them. In nats-py such a message ends the
    task that reads from the server: the connection stays "connected" and is deaf, until pings fail half a minute later.

    Args:
        on_drop: called with the subject of each message that is passed over.
    """

    def __init__(self, on_drop: Callable[[str], None]) -> None:
        super().__init__()
        self._on_drop = on_drop

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except (ValueError, LookupError):
            self._on_drop(ascii(subject))
