"""Who uses the system while it breaks: clients that submit jobs and come back, and an operator that announces."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from bus import Bus, BusError, Settings, SystemNotification, subjects
from tests.chaos.answers import Answers, Frame
from tests.chaos.proof import Proof
from tests.chaos.wishes import ANSWER_DEADLINE, JOBS, Wish
from tests.chaos.world import World

AWAY = (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)
"""How a web process looks that is not there, or goes away."""

TRY_LATER = {"bus_unavailable", "busy", "stream_full", "too_fast", "too_many_bytes", "too_many_jobs"}
"""Errors after which a client simply asks again: none of them accepts anything."""

BURST = 12
"""Jobs that a client asks for at once now and then: more than may have a task, and at times more than may be open."""
LEAVES = 0.04
"""How likely a client leaves after a piece of an answer."""
ENOUGH = 10
"""Jobs a client waits for before it asks for more."""


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
        self.ended: set[str] = set()
        """Jobs whose end was seen."""
        self.refused: Counter[str] = Counter()
        """Errors that it was told, by type."""
        self.losses: list[dict[str, int]] = []
        """The cursors with which it came back when it was told that events were lost."""
        self.unknown: list[str] = []
        """Jobs that it wanted to have done again, and that were unknown."""
        self.answers = Answers()
        self.proof = Proof(f"user|{(twin or self).number}", rng) if world.roles else None
        """By what it proves who it is, where it has to."""
        self.connections = 0
        self.left_midway = 0
        """How often it lost its connection in the middle of an answer."""
        self.settled = asyncio.Event()
        """Set once the client shall ask for nothing new and stay connected."""
        self.leave = asyncio.Event()
        self._world = world
        self._rng = rng
        self._pause = pause
        self._twin = twin
        self._wished = 0
        self._resume: str | None = None
        self._cursors = {"client": 0, "system": 0}
        self._gaps: dict[str, list[list[float]]] = {"client": [], "system": []}
        """Between which sequences events were lost, by scope."""

    @property
    def accepted(self) -> list[tuple[str, str]]:
        """Job id and type of each wish that the server has accepted."""
        return [(job_id, wish.job_type) for wish in self.wishes.values() for job_id in wish.job_ids]

    @property
    def satisfied(self) -> bool:
        """Whether every wish was accepted."""
        return all(wish.job_ids for wish in self.wishes.values())

    def lost(self, scope: str, seq: int) -> bool:
        """Whether the client was told that it lost what was stored there."""
        return any(after < seq < before for after, before in self._gaps[scope])

    async def run(self) -> None:
        """Connect, use the connection for a while, lose it, and come back, until told to leave."""
        if self._twin is not None:
            while self._twin._resume is None:
                await asyncio.sleep(0.1)
            self.client_id, self._resume = self._twin.client_id, self._twin._resume
        while not self.leave.is_set():
            try:
                await self._connected()
            except AWAY as away:
                if self.proof is not None and isinstance(away, ConnectionClosed):
                    self._complain(self.proof.closed(away))
                await asyncio.sleep(self._rng.uniform(0.1, 1.0))

    async def come_back(self, *, anew: bool = False) -> dict[str, list[tuple[int, str]]]:
        """Connect once more, after `run`. Returns what is replayed, by scope.

        Args:
            anew: with cursors at zero, as a page does that was reloaded.
        """
        before, self.events = self.events, {"client": [], "system": []}
        cursors, gaps, answers = self._cursors, self._gaps, self.answers
        if anew:
            self._cursors, self.answers = dict.fromkeys(cursors, 0), Answers()
        self._gaps = {scope: [] for scope in gaps}
        async with self._connect() as socket:
            await self._greet(socket)
            await socket.send('{"action":"ping"}')
            while (frame := await self._receive(socket))["action"] != "pong":
                self._take(frame)
        replayed, self.events, self._cursors = self.events, before, cursors
        self._gaps, self.answers = gaps, answers
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
                    self._wish_for_something()
                await self._ask(socket)
                try:
                    async with asyncio.timeout(0.3):
                        frame = json.loads(await socket.recv())
                except TimeoutError:
                    continue
                self._take(frame)
                if frame["action"] == "job_output" and not self.settled.is_set() and self._rng.random() < LEAVES:
                    self.left_midway += 1
                    break
            if self._rng.random() < 0.5:
                socket.transport.abort()

    async def _greet(self, socket: ClientConnection) -> None:
        payload: Frame = {"cursors": self._cursors}
        if self.proof is not None:
            payload |= self.proof.begin(long=self.leave.is_set())
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
        self.answers.connected(torn=not payload["recovered"])
        if not payload["recovered"]:
            self.losses.append(dict(self._cursors))
            for scope, cursor in self._cursors.items():
                self._gaps[scope].append([cursor, math.inf])
        self.client_id, self._resume = payload["client_id"], payload["resume"]

    async def _receive(self, socket: ClientConnection) -> Frame:
        async with asyncio.timeout(20):
            frame: Frame = json.loads(await socket.recv())
        return frame

    def _wish_for_something(self) -> None:
        known = [wish for wish in self.wishes.values() if wish.job_ids]
        chance = self._rng.random()
        ended = [wish for wish in known if wish.job_ids <= self.ended]
        if known and chance < 0.1:
            self._rng.choice(known).asked = -ANSWER_DEADLINE  # asks for the same once more
        elif ended and chance < 0.2:
            wish = self._rng.choice(ended)
            self._wish(wish.job_type, again=(next(iter(wish.job_ids)), wish.content))
        elif sum(not wish.job_ids <= self.ended or not wish.job_ids for wish in self.wishes.values()) < ENOUGH:
            bursts = chance > 0.98 or (not self._wished and self.number % 20 == 0)
            for _ in range(BURST if bursts else 1):
                (job_type,) = self._rng.choices(list(JOBS), list(JOBS.values()))
                self._wish(job_type)

    def _wish(self, job_type: str, again: tuple[str, str] | None = None) -> None:
        self._wished += 1
        key = f"{self.number}-{self._wished}"
        self.wishes[key] = Wish(key, job_type, unwanted=self._rng.random() < 0.05, again=again)

    async def _ask(self, socket: ClientConnection) -> None:
        if self.proof is not None:
            self._complain(self.proof.overdue())
            if (newer := self.proof.refresh()) is not None:
                await socket.send(json.dumps(newer))
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
                await socket.send(json.dumps(wish.frame | ref))

    def _take(self, frame: Frame) -> None:
        if "seq" in frame:
            scope = frame.get("group", "client")
            if frame["action"] != "job_output":
                self.events[scope].append((frame["seq"], frame["action"]))
            self._cursors[scope] = frame["seq"]
            for gap in self._gaps[scope][-1:]:
                gap[1] = min(gap[1], frame["seq"])
        if self.proof is not None:
            self.proof.read(frame)
        self._complain(self.answers.read(frame))
        wish = self.wishes.get(frame.get("ref", ""))
        match frame["action"]:
            case "job_queued" if wish is not None:
                wish.job_ids.add(frame["job_id"])
                self.ended.discard(frame["job_id"])  # of an ended job that is cut, the key means a new one
            case "job_status" if wish is not None:
                wish.job_ids.add(frame["payload"]["job_id"])
            case "job_result" | "job_failed" | "job_cancelled":
                self.ended.add(frame["job_id"])
            case "error":
                self._refused(frame, wish)

    def _complain(self, complaints: Iterable[str]) -> None:
        for complaint in complaints:
            self._world.complain(f"client {self.number}: {complaint}")

    def _refused(self, frame: Frame, wish: Wish | None) -> None:
        kind = frame["payload"][0]["type"]
        self.refused[kind] += 1
        if kind == "unknown_job" and wish is not None and wish.again:
            self.unknown.append(wish.again[0])
            if not wish.job_ids:
                del self.wishes[wish.key]
        elif kind == "job_not_ended" and wish is not None and wish.again and wish.again[0] not in self.ended:
            wish.asked = time.monotonic() - ANSWER_DEADLINE + 1
        elif kind not in TRY_LATER:
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
