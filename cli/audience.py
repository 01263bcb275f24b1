"""Whom `busctl notify` tells: a group, one client, or one user; everybody, unless one of them is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from bus import Event, SyncBus, client_ids
from cli.names import client_option, name

EVERYBODY = "system"
"""The group in which every connection of the page is."""


def _user(value: str | None) -> str | None:
    if value == "":
        raise typer.BadParameter("the name of the user is empty; give the sub of the user's tokens")
    try:
        client_ids.of_user(value or "")
    except UnicodeEncodeError:
        raise typer.BadParameter("the name of the user is not valid UTF-8; give the sub of the user's tokens") from None
    return value


Group = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", callback=name("group"), help="Only this group; by default everybody."),
]
Client = Annotated[str | None, client_option("Only this client.")]
User = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="SUB", callback=_user, help="Only this user, by the sub of the user's tokens (BUS_AUTH=jwt)."
    ),
]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told something.

    Args:
        kind: `group`, `client` or `user`.
        name: of that, as it was typed.
    """

    kind: str
    name: str

    @property
    def record(self) -> dict[str, str]:
        """For programs: `group` or `client_id`, as an event of it is shown."""
        return {"group": self.name} if self.kind == "group" else {"client_id": self._client_id}

    def tell(self, bus: SyncBus, event: Event) -> int:
        """Store an event for them, and return its sequence; see `Bus.send_event`."""
        if self.kind == "group":
            return bus.broadcast_event(event, [self.name])[0]
        return bus.send_event(event, self._client_id)

    @property
    def _client_id(self) -> str:
        return client_ids.of_user(self.name) if self.kind == "user" else self.name


def audience(group: str | None, client: str | None, user: str | None) -> Audience:
    """Whom the options name.

    Raises:
        typer.BadParameter: more than one.
    """
    named = [
        Audience(kind, name)
        for kind, name in (("group", group), ("client", client), ("user", user))
        if name is not None
    ]
    if len(named) > 1:
        raise typer.BadParameter("--group, --client and --user each name an audience; give one of them")
    return named[0] if named else Audience("group", EVERYBODY)
