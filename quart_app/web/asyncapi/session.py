"""A whole session in both modes, as an example: who sends which frame, and when the connection is closed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bus.messages import (
    Connect,
    Event,
    JobEvent,
    JobOutput,
    JobQueued,
    JobResult,
    JobStarted,
    Message,
    Ping,
    Pong,
    SystemMessage,
    SystemNotification,
    TaskPayload,
    Welcome,
)
from bus.messages.from_clients import ConnectPayload
from bus.messages.replies import WelcomePayload
from quart_app.close_codes import SERVICE_RESTART
from quart_app.web.asyncapi.examples import Json

CLIENT = "q3kJ0vYzS7mXo2Hn4tB1Lw"
JOB = "3f1c0a5be2774d0f"
JOB_OF_KEY = "5d0c4f7be19a43c2b8f6107d92ae3c48"
"""An id that is derived from the client and its `key`, which is longer than one that is made up."""
RESUME = "eyJhbGciOiJIUzI1NiJ9…"
"""Stands for a token that only the server can make and read."""
EPOCH = "2026-12-01T06:00:00.000000Z"
QUESTION = TaskPayload(task_type="generate", content="what about the weather")
ANSWER = (
    "🤖 AI Response to 'what about the weather':\n"
    "Clear skies are forecast, with a light breeze in the afternoon: a good day to be outside."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens.

    Args:
        by: "client" or "server".
        does: what it does, in words.
        frame: what it sends; None where it closes the connection instead.
        code: with which close code.
    """

    by: str
    does: str
    frame: Message | None = None
    code: int | None = None

    @property
    def record(self) -> Json:
        """The step in the document."""
        told: Json = {"by": self.by, "does": self.does}
        if self.frame is not None:
            whole = json.loads(self.frame.encode())
            told["frame"] = whole if self.by == "server" else _without_nulls(whole)
        if self.code is not None:
            told["code"] = self.code
        return told


def _without_nulls(frame: Json) -> Json:
    """As a client writes it, which leaves out what it does not say."""
    pairs = ((key, _without_nulls(value) if isinstance(value, dict) else value) for key, value in frame.items())
    return {key: value for key, value in pairs if value is not None}


def _event(event: Event, seq: int, **beside: object) -> Event:
    at = f"2026-12-01T08:30:{seq % 60:02}.000000Z"
    return event.model_copy(update={"seq": seq, "at": at, **beside})


def _of_job(event: JobEvent, seq: int, **beside: object) -> Event:
    return _event(event, seq, task_type="generate", ref="1", **beside)


def _welcome(*, replayed: int, upto: int) -> Welcome:
    cursors = {"client": upto, "system": upto}
    payload = WelcomePayload(
        client_id=CLIENT, resume=RESUME, epoch=EPOCH, recovered=True, replayed=replayed, cursors=cursors
    )
    return Welcome(payload=payload)


def _accepted(job_id: str) -> Step:
    queued = JobQueued(payload=f"⏳ Job queued: generate for 'what about the weather' (ID: {job_id})", job_id=job_id)
    return Step("server", "has stored it: it will run", _of_job(queued, 41, content=QUESTION.content))


PLAIN = (
    Step("client", "asks whether the server is there", Ping()),
    Step("server", "answers", Pong(payload=None)),
    Step("client", "submits a job", SystemMessage(payload=QUESTION, ref="1")),
    _accepted(JOB),
    Step(
        "server",
        "passes on what an operator tells everybody",
        _event(SystemNotification(payload="Hello"), 43, group="system"),
    ),
    Step("server", "has the answer", _of_job(JobResult(payload=ANSWER, job_id=JOB, attempt=1), 46)),
)

V1 = (
    Step("client", "says who it is; it has never been here", Connect(payload=ConnectPayload())),
    Step(
        "server",
        "gives it a name, and a token by which it can come back",
        _welcome(replayed=0, upto=40),
    ),
    Step(
        "client",
        "submits a job; with the same key it may ask again",
        SystemMessage(payload=QUESTION, ref="1", key="ask-1"),
    ),
    _accepted(JOB_OF_KEY),
    Step(
        "server",
        "has a worker that begins",
        _of_job(JobStarted(payload="▶ Job started: generate (attempt 1)", job_id=JOB_OF_KEY, attempt=1), 42),
    ),
    Step(
        "server",
        "shows what the job writes",
        _of_job(JobOutput(payload="🤖 AI Response to ", job_id=JOB_OF_KEY, attempt=1, index=0), 44),
    ),
    Step("server", "is restarted, and tells everybody to come back", code=SERVICE_RESTART.code),
    Step(
        "client",
        "comes back, with the largest `seq` that it has seen in each scope",
        Connect(payload=ConnectPayload(resume=RESUME, cursors={"client": 44, "system": 40})),
    ),
    Step(
        "server",
        "knows it, and says how much it missed",
        _welcome(replayed=1, upto=46),
    ),
    Step(
        "server",
        "brings what it missed: the whole answer",
        _of_job(JobResult(payload=ANSWER, job_id=JOB_OF_KEY, attempt=1), 46),
    ),
)

SESSIONS = {"plain": PLAIN, "bus.v1": V1}
"""By mode; plain is without a subprotocol."""


def sessions() -> Json:
    """The sessions as the document has them."""
    return {mode: [step.record for step in steps] for mode, steps in SESSIONS.items()}
