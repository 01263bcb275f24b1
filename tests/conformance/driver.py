"""A driver: the process in which a client runs, told what to do by lines of JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

LONGEST_LINE = 4 * 1024 * 1024


class DriverError(Exception):
    """What a client raised.

    Args:
        told: its name, message and what else it carries.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told['name']}: {told['message']}")
        self.told = told


class Told:
    """What one client has told, in order."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._more = asyncio.Event()

    def add(self, line: dict[str, Any]) -> None:
        """One more."""
        self.lines.append(line)
        self._more.set()
        self._more = asyncio.Event()

    async def more(self) -> None:
        """Wait for the next one."""
        await self._more.wait()

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The frames that it has heard."""
        return [line["frame"] for line in self.lines if line["event"] == "frame"]


class Driver:
    """A running one. Made by `driving`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: defaultdict[str, Told] = defaultdict(Told)
        self._process = process
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}

    async def do(self, verb: str, **arguments: Any) -> Any:
        """Have a client do something; what came of it.

        Raises:
            DriverError: the client raised something.
        """
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": verb, **arguments}).encode() + b"\n")
        return await answer

    async def listen(self) -> None:
        """Take what it tells, until it has ended."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "client" in told:
                self.told[told["client"]].add(told)
                continue
            answer = self._asked.pop(told["id"])
            if answer.done():
                continue
            if "error" in told:
                answer.set_exception(DriverError(told["error"]))
            else:
                answer.set_result(told["value"])
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the driver has ended"))


@asynccontextmanager
async def driving(command: list[str], log: Path) -> AsyncIterator[Driver]:
    """A driver; it ends with the block."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LONGEST_LINE,
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
        )
    driver = Driver(process)
    listening = asyncio.create_task(driver.listen())
    try:
        yield driver
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await listening
