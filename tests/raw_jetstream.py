"""JetStream as an operator or another application uses it: raw JSON, and a cluster of servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import Bus, Settings, subjects
from testbed.ports import free_port
from testbed.servers import Nats

Config = dict[str, Any]


async def settle(connection: Client) -> None:
    """Wait until the server has looked at all that was sent; twice, since nats-py's PING overtakes what was written."""
    for _ in range(2):
        await connection.flush()


@dataclass(frozen=True)
class Backup:
    """A stream's configuration and state, and its files in pieces."""

    stream: dict[str, Any]
    chunks: list[bytes]


class RawJetStream:
    """The JetStream API over one connection."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection

    async def ask(self, what: str, body: object = None) -> dict[str, Any]:
        """The answer of `$JS.API.<what>`, a refusal included."""
        data = b"" if body is None else json.dumps(body).encode()
        answer: dict[str, Any] = json.loads((await self.connection.request(f"$JS.API.{what}", data, 5)).data)
        return answer

    async def create(self, **config: Any) -> Config:
        """Create the stream EVENTS, perhaps just after another one of that name was removed."""
        while True:
            try:
                return await self._config("CREATE", {"name": subjects.STREAM, "storage": "file", **config})
            except AssertionError as error:
                if "error creating store" not in str(error):
                    raise
                await asyncio.sleep(0.02)

    async def edit(self, **changes: Any) -> Config:
        """Change the stream EVENTS."""
        return await self._config("UPDATE", {**await self.config(), **changes})

    async def config(self) -> Config:
        return await self._config("INFO", None)

    async def messages(self) -> int:
        count: int = (await self.ask(f"STREAM.INFO.{subjects.STREAM}"))["state"]["messages"]
        return count

    async def backup(self, name: str = subjects.STREAM) -> Backup:
        """A stream as `nats stream backup` reads it."""
        inbox = self.connection.new_inbox()
        heard = await self.connection.subscribe(inbox)
        answer = await self.ask(f"STREAM.SNAPSHOT.{name}", {"deliver_subject": inbox, "no_consumers": True})
        chunks = []
        while (chunk := await heard.next_msg(10)).data:
            chunks.append(chunk.data)
            if chunk.reply:
                await chunk.respond(b"")  # for the next ones
        await heard.unsubscribe()
        return Backup({"config": answer["config"], "state": answer["state"]}, chunks)

    async def restore(self, backup: Backup) -> None:
        """Make a stream of a backup, as `nats stream restore` does."""
        name = backup.stream["config"]["name"]
        deliver = (await self.ask(f"STREAM.RESTORE.{name}", backup.stream))["deliver_subject"]
        for chunk in (*backup.chunks, b""):
            answer = await self.connection.request(deliver, chunk, 10)
        assert "error" not in json.loads(answer.data), answer.data

    async def _config(self, verb: str, body: object) -> Config:
        answer = await self.ask(f"STREAM.{verb}.{subjects.STREAM}", body)
        assert "error" not in answer, answer["error"]
        config: Config = answer["config"]
        return config


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawJetStream]:
    """The JetStream API of a server."""
    connection = await nats.connect(url)
    try:
        yield RawJetStream(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def raw_jetstream(url: str) -> AsyncIterator[RawJetStream]:
    """The same, and every stream is removed at the end."""
    async with connected(url) as raw:
        yield raw
        for name in (await raw.ask("STREAM.NAMES"))["streams"] or []:
            await raw.ask(f"STREAM.DELETE.{name}")


@contextmanager
def nats_with(directory: Path, config: str, *, jetstream: bool = True) -> Iterator[Nats]:
    """A server with a configuration file; `DIR` in it is a directory for its data."""
    file = directory / f"{token_hex(4)}.conf"
    file.write_text(config.replace("DIR", str(directory / file.stem)))
    server = Nats(directory, "-c", str(file), jetstream=jetstream)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def cluster(directory: Path) -> Iterator[list[Nats]]:
    """Three servers that make one cluster; none of them is started."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = []
    for number, port in enumerate(ports):
        file = directory / f"n{number}.conf"
        file.write_text(
            f'server_name: n{number}\njetstream {{ store_dir: "{directory}/n{number}" }}\n'
            f'cluster {{ name: three, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
        )
        servers.append(Nats(directory, "-c", str(file), jetstream=False))
    try:
        yield servers
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()


async def require_live_is_the_servers_alone(url: str) -> None:
    """A client of this server can publish nothing on `live.>`, and hears there what the stream has stored."""
    refused: list[str] = []
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refused.append(str(error))

    async def on_message(message: Msg) -> None:
        await heard.put(message.data)

    async with Bus(Settings.load(nats_url=url)) as bus:
        client = await nats.connect(url, error_cb=on_error)
        try:
            await client.subscribe("live.>", cb=on_message)
            await client.publish("live.group.forged", b"forged", headers={"Nats-Sequence": "1"})
            await client.publish("live.client.a.job.b", b"forged")
            await settle(client)
            await bus.stream.append("bus.group.system", b"stored")
            async with asyncio.timeout(10):
                assert await heard.get() == b"stored"
            assert len(refused) == 2
            assert 'publish to "live.group.forged"' in refused[0]
        finally:
            await client.close()
