"""Drives busctl_client as README.md says: commands are lines on standard input, what happens is on standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from busctl_client import Client, Event, Job, State, Timings, Welcome, connect


def tell(line: dict[str, Any]) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Driver:
    """The clients and jobs of all scenarios, by name."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.tokens: dict[str, list[str]] = {}
        self.jobs: dict[str, Job] = {}
        self.opening: list[asyncio.Task[Client]] = []

    def token(self, name: str) -> str:
        """What a client's token function gives: one after the other, and the last one for ever."""
        tokens = self.tokens[name]
        if not tokens:
            raise RuntimeError("nobody is signed in")
        return tokens.pop(0) if len(tokens) > 1 else tokens[0]

    async def do_connect(self, client: str, url: str, timings: dict[str, float], tokens: list[str]) -> None:
        self.tokens[client] = tokens
        made = connect(
            url,
            token=(lambda: self.token(client)) if tokens else None,
            timings=Timings(**timings),
            within=60,
        )
        self.clients[client] = made
        made.on("*", lambda event: tell_event(client, event))
        made.on("state", lambda state: tell_state(client, state))
        made.on("welcome", lambda welcome: tell_welcome(client, welcome))
        self.opening.append(asyncio.create_task(made.open()))
        self.opening[-1].add_done_callback(lambda task: task.cancelled() or task.exception())

    async def do_tokens(self, client: str, tokens: list[str]) -> None:
        self.tokens[client] = tokens

    async def do_submit(self, client: str, job: str, type: str, content: Any, **options: Any) -> None:
        self.jobs[job] = self.clients[client].submit(type, content, **options)

    async def do_result(self, job: str) -> Any:
        return await self.jobs[job].result()

    async def do_output(self, job: str) -> list[dict[str, Any]]:
        return [{"text": str(piece), "reset": piece.reset} async for piece in self.jobs[job].output]

    async def do_job(self, job: str) -> dict[str, Any]:
        known = self.jobs[job]
        return {
            "id": known.id,
            "state": known.state,
            "attempt": known.attempt,
            "text": known.output.text,
            "progress": known.progress,
            "retry_of": known.retry_of,
            "runs": known.runs,
        }

    async def do_cancel(self, job: str) -> None:
        await self.jobs[job].cancel()

    async def do_retry(self, job: str, as_job: str) -> None:
        self.jobs[as_job] = await self.jobs[job].retry()

    async def do_jobs(self, client: str) -> list[dict[str, Any]]:
        return [{"id": job.id, "state": job.state} for job in self.clients[client].jobs]

    async def do_reconnect(self, client: str) -> None:
        self.clients[client].reconnect()

    async def do_close(self, client: str) -> str | None:
        await self.clients[client].close()
        return self.clients[client].id


def tell_event(client: str, event: Event) -> None:
    """A frame was heard."""
    tell({"client": client, "event": "frame", "frame": event.frame})


def tell_state(client: str, state: State) -> None:
    """The connection has changed."""
    tell({"client": client, "event": "state", "name": state.name, "code": state.code})


def tell_welcome(client: str, welcome: Welcome) -> None:
    """A connection begins."""
    tell(
        {
            "client": client,
            "event": "welcome",
            "id": welcome.client_id,
            "first": welcome.first,
            "same_client": welcome.same_client,
            "recovered": welcome.recovered,
        }
    )


async def answer(driver: Driver, command: dict[str, Any]) -> None:
    """Do one command, and say how it went."""
    number, verb = command.pop("id"), command.pop("do")
    try:
        value = await getattr(driver, f"do_{verb}")(**command)
    except Exception as error:
        told = {"name": type(error).__name__, "message": str(error)}
        told |= {name: vars(error)[name] for name in ("code", "reason", "by") if name in vars(error)}
        items = [item.type for item in getattr(error, "items", ())]
        tell({"id": number, "error": told | {"types": items, "again": getattr(error, "again", None)}})
    else:
        tell({"id": number, "value": value})


async def main() -> None:
    """Serve until standard input ends."""
    driver, running = Driver(), set[asyncio.Task[None]]()
    reader = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        task = asyncio.create_task(answer(driver, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for client in driver.clients.values():
        await client.close()
    for task in (*running, *driver.opening):
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
