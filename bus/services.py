"""Processes that tell who they are and what they do, as ADR-32 of the NATS architecture has it: `nats micro ls`.

A process answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`. Whoever asks for `STATS` of a name learns all that there
is: what does not change is in the metadata, what does in `data` of each endpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from bus import subjects, times
from bus.client import Bus, Subscription

VERBS = ("PING", "INFO", "STATS")
RATE, BURST = 20.0, 40
"""Answers that one process gives a second for long, and at once after a silence."""
MOST_ANSWERS = 1000
"""Processes that are listened to in one question."""
QUIET = 0.25
"""Seconds after an answer when no other one is waited for."""

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """What can be asked of a process besides.

    Args:
        name: for people.
        subject: where it is asked.
        answer: called on the event loop with each request; gives a JSON object, must not block and not raise.
        data: what `STATS` tells of it, made anew for each answer.
    """

    name: str
    subject: str
    answer: Callable[[bytes], Json]
    data: Callable[[], Json]


class Service:
    """One process, as others see it. All of it is used on the bus's event loop.

    Lacking the permission to be asked, it does its other work all the same.

    Args:
        name: what kind of process this is, such as `busctl-web`.
        instance: a name that no other process has.
        version: three numbers with dots.
        description: one line for people.
        metadata: what does not change while it runs.
        endpoints: what else it answers.
    """

    def __init__(
        self,
        name: str,
        *,
        instance: str,
        version: str,
        description: str,
        metadata: Mapping[str, str],
        endpoints: Sequence[Endpoint],
    ) -> None:
        self._identity = {"name": name, "id": instance, "version": version, "metadata": dict(metadata)}
        self.instance = instance
        """Its name among all processes."""
        self._name = name
        self._description = description
        self._endpoints = endpoints
        self._asked = dict.fromkeys((endpoint.name for endpoint in endpoints), 0)
        self._started = times.written(datetime.now(UTC))
        self._allowance, self._looked = float(BURST), time.monotonic()

    async def start(self, bus: Bus) -> list[Subscription]:
        """Answer from now on, over later connections too, until these are closed.

        Raises:
            BusUnavailable: the bus is closed.
        """
        answers = {"PING": self._ping, "INFO": self._info, "STATS": self._stats}
        asked: list[tuple[str, Callable[[bytes], Json]]] = []
        for verb in VERBS:
            for whom in ((), (self._name,), (self._name, self.instance)):
                asked.append((subjects.service(verb, *whom), answers[verb]))
        asked += [(endpoint.subject, self._counted(endpoint)) for endpoint in self._endpoints]
        return [await bus.respond(subject, self._bounded(answer), optional=True) for subject, answer in asked]

    def _bounded(self, answer: Callable[[bytes], Json]) -> Callable[[bytes], bytes | None]:
        """Silent when it was asked too often: whoever asks has other work for us than to talk about ourselves."""

        def respond(request: bytes) -> bytes | None:
            now = time.monotonic()
            self._allowance = min(float(BURST), self._allowance + RATE * (now - self._looked))
            self._looked = now
            if self._allowance < 1:
                return None
            self._allowance -= 1
            return json.dumps(answer(request)).encode()

        return respond

    def _counted(self, endpoint: Endpoint) -> Callable[[bytes], Json]:
        def answer(request: bytes) -> Json:
            self._asked[endpoint.name] += 1
            return endpoint.answer(request)

        return answer

    def _ping(self, _: bytes) -> Json:
        return {"type": "io.nats.micro.v1.ping_response", **self._identity}

    def _info(self, _: bytes) -> Json:
        endpoints = [
            {"name": endpoint.name, "subject": endpoint.subject, "queue_group": "", "metadata": {}}
            for endpoint in self._endpoints
        ]
        about = {"description": self._description, "endpoints": endpoints}
        return {"type": "io.nats.micro.v1.info_response", **self._identity, **about}

    def _stats(self, _: bytes) -> Json:
        endpoints = [
            {
                "name": endpoint.name,
                "subject": endpoint.subject,
                "queue_group": "",
                "num_requests": self._asked[endpoint.name],
                "num_errors": 0,
                "last_error": "",
                "processing_time": 0,
                "average_processing_time": 0,
                "data": endpoint.data(),
            }
            for endpoint in self._endpoints
        ]
        about = {"started": self._started, "endpoints": endpoints}
        return {"type": "io.nats.micro.v1.stats_response", **self._identity, **about}


class _EndpointStats(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: Json | None = None


class Found(BaseModel):
    """A process that answered.

    Args:
        id: its instance.
        version: of busctl there.
        started: when it began to answer, RFC 3339.
        metadata: what does not change while it runs.
        endpoints: what does, as `data` of each.
    """

    model_config = ConfigDict(extra="ignore")

    name: str
    id: str
    version: str
    started: str = ""
    metadata: dict[str, str] = {}
    endpoints: list[_EndpointStats] = []

    @property
    def data(self) -> Json:
        """What its endpoints tell, together."""
        return {key: value for endpoint in self.endpoints for key, value in (endpoint.data or {}).items()}


async def find(bus: Bus, name: str, *, within: float) -> list[Found]:
    """The processes of a kind that answer within so many seconds. What is no answer is passed over.

    Raises:
        BusUnavailable: NATS is away.
        NotPermitted: the user may not ask them.
    """
    found: dict[str, Found] = {}
    subject = subjects.service("STATS", name)
    for answer in await bus.gather(subject, within=within, quiet=QUIET, most=MOST_ANSWERS):
        try:
            one = Found.model_validate_json(answer)
        except ValidationError:
            continue
        if one.name == name:
            found[one.id] = one
    return list(found.values())
