"""Plays a scenario with one client implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bus import subjects
from testbed.servers import Web
from tests.conformance.comparison import differences, missing
from tests.conformance.driver import Driver, DriverError
from tests.conformance.proxy import Network, network
from tests.conformance.scenario import Scenario
from tests.conformance.world import World, kill_runner, signed

DEADLINE = 60.0
"""Seconds that one step may take, on a machine that is busy with other things."""
TIMINGS = {"open": 10, "welcome": 10, "first_delay": 0.1, "longest_delay": 0.5, "ping_after": 10, "pong_within": 20}
"""Seconds, as short as they may be on such a machine."""
IMPATIENT = {"ping_after": 0.5, "pong_within": 1.5}
"""Those of a client whose connection will carry nothing any more."""
SAME_NAME = {"Disconnected": "ConnectionClosed", "Unauthorized": "ConnectionClosed"}
"""What is called otherwise in one language, or is a kind of it."""


class Player:
    """One scenario as it goes.

    Args:
        scenario: what to do.
        driver: the client implementation.
        world: the servers.
        directory: for files that jobs look for.
        name: of this play, for names that nobody else uses.
        stack: ends what is begun.
    """

    def __init__(
        self, scenario: Scenario, driver: Driver, world: World, directory: Path, name: str, stack: AsyncExitStack
    ) -> None:
        self._scenario = scenario
        self._driver = driver
        self._world = world
        self._directory = directory
        self._name = name
        self._stack = stack
        self._networks: dict[str, Network] = {}
        self._places: dict[tuple[str, str], int] = {}  # how far what a client told was looked at, by client and kind
        self._outputs: dict[str, asyncio.Task[Any]] = {}
        self._results: dict[str, asyncio.Task[Any]] = {}
        self._from: dict[str, int] = {}  # from which sequence on a client has to see its group
        self._cut: set[str] = set()
        self._expires: dict[str, float] = {}  # when the first token of a client does
        self._web: Web

    async def play(self) -> None:
        """Do every step, then compare what each client saw with what is stored."""
        self._web = await self._world.web(self._scenario.server)
        for number, (verb, given) in enumerate(self._scenario.steps, 1):
            try:
                async with asyncio.timeout(DEADLINE):
                    await getattr(self, f"_{verb}")(**given)
            except TimeoutError:
                raise AssertionError(
                    f"step {number}, {verb} {given}: not within {DEADLINE:g} s; {self._heard()}"
                ) from None
            except (AssertionError, DriverError) as error:
                raise AssertionError(f"step {number}, {verb} {given}: {error}") from error
        for client in self._networks:
            await self._compare(client)
        for task in (*self._outputs.values(), *self._results.values()):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for client in self._networks:
            await self._driver.do("close", client=self._named(client))

    # What clients do.

    async def _connect(
        self,
        client: str,
        user: str = "",
        token_for: Sequence[float] = (600,),
        token: str = "",
        impatient: bool = False,
    ) -> None:
        made = self._networks[client] = await self._stack.enter_async_context(network(self._web.port))
        tokens = [token] if token else self._tokens_of(user, token_for)
        self._expires[client] = time.time() + token_for[0]
        url = f"http://127.0.0.1:{made.port}"
        timings = TIMINGS | (IMPATIENT if impatient else {})
        await self._driver.do("connect", client=self._named(client), url=url, timings=timings, tokens=tokens)

    async def _token(self, client: str, user: str = "", token_for: Sequence[float] = (600,)) -> None:
        await self._driver.do("tokens", client=self._named(client), tokens=self._tokens_of(user, token_for))

    async def _expired(self, client: str) -> None:
        """The token with which a client came is over."""
        await asyncio.sleep(self._expires[client] - time.time())

    async def _submit(self, client: str, job: str, type: str, content: Any = "", **options: Any) -> None:
        if isinstance(content, dict) and set(content) == {"gate"}:
            content = str(self._gate_of(content["gate"]))
        options["key"] = self._named(options.get("key", job))
        arguments = {
            "client": self._named(client),
            "job": self._named(job),
            "type": type,
            "content": content,
            **options,
        }
        await self._driver.do("submit", **arguments)
        self._follow(job)

    async def _cancel(self, job: str) -> None:
        await self._driver.do("cancel", job=self._named(job))

    async def _retry(self, job: str, as_job: str) -> None:
        await self._driver.do("retry", job=self._named(job), as_job=self._named(as_job))
        self._follow(as_job)

    async def _reconnect(self, client: str) -> None:
        await self._driver.do("reconnect", client=self._named(client))

    # What happens to servers and networks.

    async def _gate(self, open: str) -> None:
        self._gate_of(open).touch()

    async def _fault(self, client: str, what: str, bytes: int | None = None) -> None:
        made = self._networks[client]
        made.carries = bytes
        if what == "away":
            made.away = True
            made.drop()
        elif what == "back":
            made.away = False
        else:
            getattr(made, what)()

    async def _redeploy(self) -> None:
        await self._world.redeploy(self._web)

    async def _kill_web(self) -> None:
        await self._world.kill(self._web)

    async def _kill_worker(self, gate: str) -> None:
        kill_runner(self._gate_of(gate))

    async def _purge(self, client: str) -> None:
        self._cut.add(client)
        await self._world.purge(self._id_of(client))

    async def _announce(self, text: str, client: str = "", level: str | None = None, size: int = 0) -> None:
        client_id = self._id_of(client) if client else None
        await self._world.announce(self._named(text).ljust(size), client_id=client_id, level=level)

    # What has to be seen.

    async def _state(self, client: str, is_: str, code: int | None = None) -> None:
        await self._next(client, "state", lambda told: told["name"] == is_ and code in (None, told["code"]))
        if is_ == "connected" and client not in self._from:
            stored = await self._world.stored(subjects.group("system"))
            self._from[client] = stored[-1]["seq"] if stored else 0

    async def _welcome(self, client: str, **expected: Any) -> None:
        told = await self._next(client, "welcome", lambda told: True)
        assert told | expected == told, told

    async def _hear(self, client: str, action: str, job: str = "", times: int = 1, text: str = "") -> None:
        """At least so many frames like that have come, since the beginning."""
        job_id = await self._job_id(job) if job else None

        def fits(frame: dict[str, Any]) -> bool:
            return (
                frame["action"] == action
                and (job_id is None or frame.get("job_id") == job_id)
                and (not text or frame["payload"].rstrip() == self._named(text))
            )

        told = self._driver.told[self._named(client)]
        while sum(map(fits, told.frames)) < times:
            await told.more()

    async def _never(self, client: str, state: str) -> None:
        """The client has not been in a state since its last one that was waited for."""
        told = self._driver.told[self._named(client)].lines[self._places.get((client, "state"), 0) :]
        names = [line["name"] for line in told if line["event"] == "state"]
        assert state not in names, names

    async def _stored(self, job: str, action: str) -> None:
        """The stream has that event of a job, whatever its client knows."""
        while True:
            every = await self._world.stored("bus.client.*.job.*")
            key = self._named(job)
            if any(frame["action"] == action and frame.get("ref") == key for frame in every):
                return
            await asyncio.sleep(0.02)

    async def _result(self, job: str, **expected: Any) -> None:
        """How a job ends: `is_` its value, or `raises` an error with such attributes."""
        try:
            value = await asyncio.shield(self._results[job])
        except DriverError as error:
            told = error.told | {"name": SAME_NAME.get(error.told["name"], error.told["name"])}
            wanted = {"name" if name == "raises" else name: value for name, value in expected.items()}
            assert told | wanted == told, told
            return
        assert "raises" not in expected, f"it gave {value!r}"
        if "is_" in expected:
            assert value == expected["is_"], value

    async def _output(self, job: str, resets: int | None = None, ends: str = "") -> None:
        """The pieces that somebody read from the beginning, joined, are the result."""
        pieces = await asyncio.shield(self._outputs[job])
        text = ""
        for piece in pieces:
            text = piece["text"] if piece["reset"] else text + piece["text"]
        result = await asyncio.shield(self._results[job])
        assert text == result, pieces
        assert text.endswith(ends), text
        assert resets is None or sum(piece["reset"] for piece in pieces) == resets, pieces

    async def _job(self, job: str, begins: str = "", **expected: Any) -> None:
        told = await self._driver.do("job", job=self._named(job))
        assert told["text"].startswith(begins), told
        if expected.get("retry_of"):
            expected["retry_of"] = await self._job_id(expected["retry_of"])
        assert told | expected == told, told

    async def _same(self, job: str, as_job: str) -> None:
        """Two handles are of one job."""
        assert await self._job_id(job) == await self._job_id(as_job)

    async def _jobs(self, client: str, states: list[str]) -> None:
        """The jobs that a client lists, the newest first, when they stand so."""
        while True:
            told = await self._driver.do("jobs", client=self._named(client))
            if [job["state"] for job in told] == states:
                return
            await self._driver.told[self._named(client)].more()

    # How that is found out.

    def _named(self, name: str) -> str:
        return f"{name} of {self._name}"

    def _tokens_of(self, user: str, token_for: Sequence[float]) -> list[str]:
        return [signed(self._named(user), seconds) for seconds in token_for] if user else []

    def _gate_of(self, gate: str) -> Path:
        return self._directory / self._named(gate).replace(" ", "-")

    def _id_of(self, client: str) -> str:
        told = self._driver.told[self._named(client)].lines
        return next(str(line["id"]) for line in told if line["event"] == "welcome")

    def _follow(self, job: str) -> None:
        """Wait for its end, and read what it writes, from now on."""
        self._results[job] = asyncio.create_task(self._driver.do("result", job=self._named(job)))
        self._outputs[job] = asyncio.create_task(self._driver.do("output", job=self._named(job)))
        for task in (self._results[job], self._outputs[job]):
            task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _job_id(self, job: str) -> str:
        while True:
            told = await self._driver.do("job", job=self._named(job))
            if told["id"] is not None:
                return str(told["id"])
            await asyncio.sleep(0.02)

    async def _next(self, client: str, kind: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line of a kind that fits, after the last one that was waited for."""
        told = self._driver.told[self._named(client)]
        place = self._places.get((client, kind), 0)
        while True:
            while place < len(told.lines):
                line, place = told.lines[place], place + 1
                if line["event"] == kind and fits(line):
                    self._places[client, kind] = place
                    return line
            await told.more()

    async def _compare(self, client: str) -> None:
        told = self._driver.told[self._named(client)]
        if not any(line["event"] == "welcome" for line in told.lines):
            return
        whole = client not in self._cut
        own, group = subjects.client(self._id_of(client)), subjects.group("system")
        for subject, scope, begin in ((own, None, 0), (group, "system", self._from.get(client, 0))):
            async with asyncio.timeout(DEADLINE):
                while True:
                    stored = [frame for frame in await self._world.stored(subject) if frame["seq"] > begin]
                    seen = [frame for frame in told.frames if "seq" in frame and frame.get("group") == scope]
                    sequences = {frame["seq"] for frame in seen}
                    if not whole or scope is not None or not missing(sequences, stored):
                        break
                    await told.more()
            if scope is not None:  # what others announce meanwhile may still be on its way
                last = max(sequences, default=0)
                stored = [frame for frame in stored if frame["seq"] <= last]
            wrong = differences([frame for frame in seen if frame["seq"] > begin], stored, whole=whole)
            assert not wrong, f"{client} saw of {subject}: {'; '.join(wrong)}"

    def _heard(self) -> str:
        heard = {client: self._driver.told[self._named(client)].lines[-5:] for client in self._networks}
        return f"last told: {heard}"
