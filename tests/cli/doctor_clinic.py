"""One NATS server with an account for each thing that can be wrong with one, and a server that only says it is old."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cli.doctor.permissions import NEEDED, Permission
from testbed.servers import Nats

ACCOUNTS = ("whole", "foreign", "small", "without")
PASSWORD = "hunter2"


@contextmanager
def clinic(directory: Path) -> Iterator[Nats]:
    """A server whose users are called as their accounts, and in the account `whole` one that lacks each permission."""
    users = [f"{{ user: whole, password: {PASSWORD} }}"]
    users += [
        f'{{ user: lacks{number}, password: {PASSWORD}, permissions: {{ {each.verb}: {{ deny: "{each.pattern}" }} }} }}'
        for number, each in enumerate(NEEDED)
    ]
    users.append(f'{{ user: deaf, password: {PASSWORD}, permissions: {{ subscribe: {{ deny: "_INBOX.>" }} }} }}')
    config = f"""
        accounts {{
          WHOLE {{ jetstream: enabled, users: [ {", ".join(users)} ] }}
          FOREIGN {{ jetstream: enabled, users: [ {{ user: foreign, password: {PASSWORD} }} ] }}
          SMALL {{ jetstream: {{ max_file: 1M, max_mem: 1M }}, users: [ {{ user: small, password: {PASSWORD} }} ] }}
          WITHOUT {{ users: [ {{ user: without, password: {PASSWORD} }} ] }}
        }}
    """
    file = directory / "clinic.conf"
    file.write_text(config)
    server = Nats(directory, "-c", str(file))
    server.start()
    try:
        yield server
    finally:
        server.kill()


def url(server: Nats, user: str, password: str = PASSWORD) -> str:
    """The server's address for one of its users."""
    return server.url.replace("nats://", f"nats://{user}:{password}@")


def lacking(permission: Permission) -> str:
    """The user that may not do this."""
    return f"lacks{NEEDED.index(permission)}"


@asynccontextmanager
async def old_nats() -> AsyncIterator[str]:
    """The address of something that talks like NATS 2.9."""
    info = {"server_id": "OLD", "server_name": "old", "version": "2.9.25", "proto": 1, "headers": True}
    info |= {"max_payload": 1048576, "jetstream": True}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"nats://{host}:{port}"
