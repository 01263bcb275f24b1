"""Who uses the system while it breaks: clients that submit jobs and come back, and an operator that announces."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from bus import Bus, BusError, Settings, SystemNotification, subjects
from testbed.planted import PLANTED
from tests.chaos.world import World

Frame = dict[str, Any]

JOBS = {
    "translate": 8,
    "analyze": 8,
    "default": 12,
    "nonsense": 2,
    "chaos_slow": 4,
    "chaos_stream": 4,
    "chaos_stream_async": 4,
    "chaos_flaky": 3,
    "chaos_raise": 2,
    "chaos_rubbish": 1,
    "chaos_large": 1,
    "chaos_hang": 1,
    "chaos_kill": 1,
}
"""How often clients ask for each type of job, relative to the others."""

AWAY = (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)
"""How a web process looks that is not there, or goes away."""

TRY_LATER = {"bus_unavailable", "busy"}
"""Errors after which a client simply asks again."""

ANSWER_DEADLINE = 8.0
"""Seconds after which a client repeats a request that nobody has answered, with the same key."""


@dataclass
class Wish:
    """A job that a client wants, under an idempotency key."""

    key: str
    job_type: str
    unwanted: bool = False
    """Whether the client calls the job off as soon as it is accepted."""
    asked: float = -ANSWER_DEADLINE
    job_ids: set[str] = field(default_factory=set)
    """Every job id that the server named for the key: one, if it keeps its word."""

    @property
    def content(self) -> str:
        """What the job works on; no log may hold it."""
        return f"{PLANTED} {self.key}"


class ChaosClient:
    """A `bus.v1` client. It believes the server: what arrives is what was sent, without any sorting or sifting.

    Args:
        world: where the web processes are.
        rng: its own source of chance.
        pause: mean seconds between two wishes.
        twin: another connection of this client, like a second tab of one page: it asks for nothing.
    """

    def __init__(
        self, world: World, number: int, rng: random.Random, pause: float, twin: ChaosClient | None = None
    ) -> None:
        self.number = number
        self.client_id = ""
        self.events: dict[str, list[tuple[int, str]]] = {"client": [], "system": []}
        """Sequence and action of every event that came, in the order in which it came, by scope."""
        self.wishes: dict[str, Wish] = {}
        self.connections = 0
        self.settled = asyncio.Event()
        """Set once the client shall ask for nothing new and stay connected."""
        self.leave = asyncio.Event()
        self._world = world
        self._rng = rng
        self._pause = pause
        self._twin = twin
        self._resume: str | None = None
        self._cursors = {"client": 0, "system": 0}
        self._written: dict[str, tuple[int, int]] = {}
        """Attempt and index of the last piece that was seen of each job."""

    @property
    def accepted(self) -> list[tuple[str, str]]:
        """Job id and type of each wish that the server has accepted."""
        return [(job_id, wish.job_type) for wish in self.wishes.values() for job_id in wish.job_ids]

    @property
    def content(self) -> bool:
        """Whether every wish was accepted."""
        return all(wish.job_ids for wish in self.wishes.values())

    async def run(self) -> None:
        """Connect, use the connection for a while, lose it, and come back, until told to leave."""
        if self._twin is not None:
            while self._twin._resume is None:
                await asyncio.sleep(0.1)
            self.client_id, self._resume = self._twin.client_id, self._twin._resume
        while not self.leave.is_set():
            try:
                await self._connected()
            except AWAY:
                await asyncio.sleep(self._rng.uniform(0.1, 1.0))

    async def come_back(self, *, anew: bool = False) -> dict[str, list[tuple[int, str]]]:
        """Connect once more, after `run`. Returns what is replayed, by scope.

        Args:
            anew: with cursors at zero, as a page does that was reloaded.
        """
        before, self.events = self.events, {"client": [], "system": []}
        cursors, self._written = self._cursors, {}
        if anew:
            self._cursors = dict.fromkeys(cursors, 0)
        async with self._connect() as socket:
            await self._greet(socket)
            await socket.send('{"action":"ping"}')
            while (frame := await self._receive(socket))["action"] != "pong":
                self._take(frame)
        replayed, self.events, self._cursors = self.events, before, cursors
        return replayed

    def _connect(self) -> connect:
        web = self._rng.choice(self._world.webs)
        return connect(web.ws_url, subprotocols=["bus.v1"], proxy=None, open_timeout=10, close_timeout=2)  # type: ignore[list-item]

    async def _connected(self) -> None:
        async with self._connect() as socket:
            self.connections += 1
            await self._greet(socket)
            end = time.monotonic() + self._rng.expovariate(1 / 6)
            wish_at = math.inf if self._twin else time.monotonic() + self._rng.expovariate(1 / self._pause)
            while self.settled.is_set() or time.monotonic() < end:
                if self.leave.is_set():
                    return
                if time.monotonic() > wish_at and not self.settled.is_set():
                    wish_at = time.monotonic() + self._rng.expovariate(1 / self._pause)
                    self._wish()
                await self._ask(socket)
                try:
                    async with asyncio.timeout(0.3):
                        self._take(json.loads(await socket.recv()))
                except TimeoutError:
                    continue
            if self._rng.random() < 0.5:
                socket.transport.abort()

    async def _greet(self, socket: ClientConnection) -> None:
        payload: Frame = {"cursors": self._cursors}
        if self._resume is not None:
            payload["resume"] = self._resume
        await socket.send(json.dumps({"action": "connect", "payload": payload}))
        welcome = await self._receive(socket)
        if welcome["action"] != "welcome":
            self._world.complain(f"client {self.number} was not welcomed but told {welcome}")
            return
        payload = welcome["payload"]
        if self._resume is not None and payload["client_id"] != self.client_id:
            self._world.complain(f"client {self.number} became another: {payload}")
        if not payload["recovered"]:
            self._world.complain(f"client {self.number} with cursors {self._cursors} was told that it lost: {payload}")
        self.client_id, self._resume = payload["client_id"], payload["resume"]

    async def _receive(self, socket: ClientConnection) -> Frame:
        async with asyncio.timeout(20):
            frame: Frame = json.loads(await socket.recv())
        return frame

    def _wish(self) -> None:
        known = [wish for wish in self.wishes.values() if wish.job_ids]
        if known and self._rng.random() < 0.1:
            self._rng.choice(known).asked = -ANSWER_DEADLINE  # asks for the same once more
            return
        (job_type,) = self._rng.choices(list(JOBS), list(JOBS.values()))
        wish = Wish(f"{self.number}-{len(self.wishes)}", job_type, unwanted=self._rng.random() < 0.05)
        self.wishes[wish.key] = wish

    async def _ask(self, socket: ClientConnection) -> None:
        now = time.monotonic()
        for wish in self.wishes.values():
            ref = {"ref": wish.key}
            if wish.job_ids and wish.unwanted:
                wish.unwanted = False
                payload = {"job_id": next(iter(wish.job_ids))}
                await socket.send(json.dumps({"action": "cancel_job", "payload": payload, **ref}))
            repeated = wish.job_ids and wish.asked < 0
            if repeated or (not wish.job_ids and now - wish.asked > ANSWER_DEADLINE):
                wish.asked = now
                payload = {"task_type": wish.job_type, "content": wish.content}
                frame = {"action": "system_message", "payload": payload, "key": wish.key, **ref}
                await socket.send(json.dumps(frame))

    def _take(self, frame: Frame) -> None:
        if frame["action"] == "job_output":
            self._read(frame)
        elif "seq" in frame:
            scope = frame.get("group", "client")
            self.events[scope].append((frame["seq"], frame["action"]))
            self._cursors[scope] = frame["seq"]
        wish = self.wishes.get(frame.get("ref", ""))
        match frame["action"]:
            case "job_queued" if wish is not None:
                wish.job_ids.add(frame["job_id"])
            case "job_status" if wish is not None:
                wish.job_ids.add(frame["payload"]["job_id"])
            case "error":
                self._refused(frame, wish)

    def _read(self, frame: Frame) -> None:
        """A piece of an answer: those of one attempt come once and in order; a replay leaves out what has ended."""
        self._cursors["client"] = frame["seq"]
        place = frame["attempt"], frame["index"]
        if place <= self._written.get(frame["job_id"], (0, 0)):
            self._world.complain(f"client {self.number} was shown a piece late or twice: {frame}")
        self._written[frame["job_id"]] = place

    def _refused(self, frame: Frame, wish: Wish | None) -> None:
        if frame["payload"][0]["type"] not in TRY_LATER:
            self._world.complain(f"client {self.number} was told {frame}")
        elif wish is not None:
            wish.asked = time.monotonic() - ANSWER_DEADLINE + 1


class Operator:
    """Announces something now and then, and repeats it with the same message id until it is acknowledged."""

    def __init__(self, settings: Settings, rng: random.Random, pause: float) -> None:
        self.acknowledged: list[int] = []
        """Sequence of each announcement that NATS has acknowledged."""
        self.settled = asyncio.Event()
        self._settings = settings
        self._rng = rng
        self._pause = pause

    async def run(self) -> None:
        """Announce until told to settle; then finish what was begun."""
        async with Bus(self._settings, name="operator") as bus:
            number = 0
            while not self.settled.is_set():
                number += 1
                await self._announce(bus, number)
                await asyncio.sleep(self._rng.expovariate(1 / self._pause))

    async def _announce(self, bus: Bus, number: int) -> None:
        data = SystemNotification(payload=f"announcement {number}").encode().encode()
        while True:
            try:
                seq = await bus.stream.append(subjects.group("system"), data, message_id=f"announcement-{number}")
            except BusError:
                await asyncio.sleep(0.5)
            else:
                self.acknowledged.append(seq)
                return
