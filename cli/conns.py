"""`busctl conns`: the WebSockets that are open, by web process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from bus import Bus, BusUnavailable, Settings, subjects, times
from bus.services import find
from cli.amounts import count, size, span
from cli.columns import Column, Columns
from cli.errors import CommandFailed, Interrupted
from cli.names import client_option
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, Part, room, show_warning
from workers.about import WEB
from workers.state.processes import Process
from workers.state.system import observer

COLUMNS = (
    Column("WEB", 12, 24, 3),
    Column("CLIENT", 8, 24, 6, "bold", whole=True),
    Column("PROTOCOL", 8, 8, 2),
    Column("OPEN", 5, 5, 5, "dim", right=True),
    Column("WAITING", 8, 8, 4, right=True),
    Column("ADDRESS", 10, 24, 1),
)

Client = Annotated[str | None, client_option("Only connections of this client.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="Show so many at most.")]


class Conn(BaseModel):
    """One WebSocket, as its web process tells of it.

    Args:
        number: larger than of those that were opened before, at the same web process.
        since: when it was opened, seconds since 1970.
        waiting: bytes that its reader has not taken.
    """

    model_config = ConfigDict(extra="ignore")

    number: int
    client_id: str
    since: float
    address: str
    protocol: str
    waiting: int

    @property
    def opened(self) -> datetime:
        """When it was opened."""
        return datetime.fromtimestamp(self.since, UTC)


class Page(BaseModel):
    """Some of the WebSockets of one web process, and whether there are more."""

    model_config = ConfigDict(extra="ignore")

    connections: list[Conn]
    more: bool


def conns(
    client: Client = None,
    limit: Limit = 100,
    server: Server = None,
    timeout: Timeout = 2,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """List the WebSockets that are open, of one web process after the other, the oldest first.

    OPEN is for how long one has been, WAITING how much its reader has not taken yet.

    Example: busctl conns --client 3q2-7wxyz
    """
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    try:
        asyncio.run(_list(settings, client, limit, output))
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None


async def _list(settings: Settings, client: str | None, limit: int, output: Output) -> None:
    columns = Columns(COLUMNS, room())
    shown, silent, more = 0, 0, False
    async with observer(settings, "busctl conns") as bus:
        processes = [Process(found) for found in await find(bus, WEB, within=min(1.0, settings.append_timeout))]
        if not processes:
            raise CommandFailed("no web process answers: start one with 'busctl serve', or see 'busctl doctor'")
        for process in processes:
            try:
                async for conn in _of(bus, process, client, settings.append_timeout):
                    if shown == limit:
                        more = True
                        break
                    if not shown:
                        output.line(*columns.header())
                    _show(output, columns, process, conn)
                    shown += 1
            except BusUnavailable as error:
                silent += 1
                show_warning(f"the web process {process.name} does not tell of its connections: {error}")
    if not shown:
        output.note("No connections.")
    if more and client is not None:
        output.note(f"The first {shown:,} of this client; --limit shows more.")
    elif more:
        open_now = max(shown + 1, sum(process.connections for process in processes))
        output.note(f"{shown:,} of {count(open_now, 'connection')}; --limit shows more.")
    if silent:
        raise CommandFailed(f"{count(silent, 'web process')} did not answer; try again, or see 'busctl doctor'")


async def _of(bus: Bus, process: Process, client: str | None, timeout: float) -> AsyncIterator[Conn]:
    """The connections of one web process.

    Raises:
        BusUnavailable: it does not answer, or says what cannot be read.
    """
    after, more = 0, True
    while more:
        request: dict[str, Any] = {"after": after} | ({} if client is None else {"client_id": client})
        subject = subjects.connections(process.found.id)
        answer = await bus.request(subject, json.dumps(request).encode(), timeout=timeout)
        if answer is None:
            raise BusUnavailable("it has gone")
        try:
            page = Page.model_validate_json(answer)
        except ValidationError as error:
            raise BusUnavailable("what it answers is of another version") from error
        for conn in page.connections:
            yield conn
            after = max(after, conn.number)
        more = page.more and bool(page.connections)


def _show(output: Output, columns: Columns, process: Process, conn: Conn) -> None:
    output.record(
        web=process.found.id,
        host=process.host,
        client_id=conn.client_id,
        since=times.written(conn.opened),
        address=conn.address,
        protocol=conn.protocol,
        waiting=conn.waiting,
    )
    row: dict[str, Part] = {
        "WEB": process.name,
        "CLIENT": conn.client_id,
        "PROTOCOL": conn.protocol,
        "OPEN": span((datetime.now(UTC) - conn.opened).total_seconds()),
        "WAITING": (size(conn.waiting), "yellow" if conn.waiting else "dim"),
        "ADDRESS": conn.address,
    }
    output.line(*columns.row(row))
