"""Conversation: what this client asks and is told, over all of its connections."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from busctl_client.errors import BusctlError, ErrorItem, Refused, TooLarge, TooManyRequests
from busctl_client.events import Frame, event_of, time_of
from busctl_client.job import Job
from busctl_client.jobs import Jobs
from busctl_client.limits import Limits
from busctl_client.listeners import Listeners
from busctl_client.requests import Requests
from busctl_client.session import Session
from busctl_client.tokens import REFRESH, Tokens

log = logging.getLogger("busctl_client")

ASK_AGAIN = 1.0
"""Seconds until it is asked again how a job stands, when the server had no answer."""
LONGEST_KEY = 128
"""Characters."""
DEEPEST = 200
"""So many lists and objects may be in one another in a frame. Past it a server cannot say which request it refuses."""


class Conversation:
    """Puts together what came and what was asked. It is the desk of its jobs and the host of each visit.

    Args:
        session: who this client is.
        tokens: is told when one expires.
        listeners: are told what happens.
        limits: its bounds.
        on_connected: called when what was missed has arrived.
    """

    def __init__(
        self,
        session: Session,
        tokens: Tokens,
        listeners: Listeners,
        limits: Limits,
        on_connected: Callable[[], None],
    ) -> None:
        self.trouble: BusctlError | None = None
        """Why nothing comes any more; None while something may."""
        self.jobs = Jobs(self._new_job, limits.ended_jobs, lambda job: listeners.tell("job", job))
        self._session = session
        self._tokens = tokens
        self._listeners = listeners
        self._limits = limits
        self._on_connected = on_connected
        self._requests = Requests(limits.requests)
        self._doubtful: list[Job] = []

    def over(self, trouble: BusctlError | None) -> None:
        """Nothing comes any more, or something may again: everybody who waits is to look."""
        self.trouble = trouble
        self.jobs.wake()
        self._listeners.wake()

    def hold(self, trouble: BusctlError) -> None:
        """The server cannot take one of the jobs that were sent: none of them is sent again by itself."""
        for job in self.jobs.hold(trouble):
            self._requests.answer(job.key)

    # As the desk of its jobs.

    def submit(
        self,
        task_type: str,
        content: Any,
        *,
        key: str | None = None,
        not_before: datetime | None = None,
        delay: float | None = None,
    ) -> Job:
        """Ask for a job; as `Client.submit`."""
        if not_before is not None and delay is not None:
            raise ValueError("give not_before or delay, not both")
        if not_before is not None and getattr(not_before, "tzinfo", None) is None:
            raise ValueError("not_before has to be a datetime with a time zone, such as datetime.now(UTC)")
        frame: Frame = {"action": "system_message", "payload": {"task_type": task_type, "content": content}}
        if not_before is not None:
            frame["not_before"] = not_before.astimezone(UTC).isoformat()
        if delay is not None:
            frame["delay"] = delay
        return self._submit(key, frame, task_type, content)

    def retry(self, job: Job, key: str | None) -> Job:
        """Ask for a new job like one that has ended, or once more for one that was not accepted."""
        if job.state == "unsent" and job.frame is not None:
            return self._submit(job.key, job.frame, job.task_type, job.content)
        frame: Frame = {"action": "retry_job", "payload": {"job_id": job.id}}
        return self._submit(key, frame, job.task_type, job.content, retry_of=job.id)

    async def cancel(self, job: Job) -> None:
        """Call a job off, and wait for the answer."""
        ref = secrets.token_hex(16)  # of this call alone: another one that asks the same may wait for longer
        request = self._requests.ask({"action": "cancel_job", "payload": {"job_id": job.id}, "ref": ref}, job.changed)
        try:
            while not (job.ended or request.answered):
                job.check()
                await job.changed.wait()
        finally:
            self._requests.answer(ref)
        if request.refused is not None:
            raise request.refused

    # As the host of each visit.

    def welcomed(self, payload: Mapping[str, Any]) -> None:
        """The server has answered `connect`."""
        welcome = self._session.welcome(payload)
        if not welcome.recovered:
            self._doubtful = self.jobs.cut(welcome.same_client)
            for job in self.jobs:
                if job.state == "interrupted":
                    self._requests.answer(job.key)
        self._listeners.tell("welcome", welcome)

    def connected(self) -> None:
        """What was missed has arrived."""
        # What the replay did not confirm may never have arrived; it may be sent twice.
        self._requests.send_again()
        self._on_connected()

    def heard(self, frame: Frame) -> None:
        """A frame has arrived that is new."""
        try:
            self._take(frame)
        except (KeyError, TypeError, ValueError, AttributeError):
            log.exception("a frame could not be understood: %.500r", frame)

    async def next_request(self) -> Frame:
        """Wait for something to ask of the server."""
        return await self._requests.next()

    async def ask_doubtful(self) -> None:
        """Learn how jobs stand whose history was cut, one after the other."""
        while self._doubtful:
            job = self._doubtful[0]
            ref = f"get {job.id}"
            if job.ended or await self._ask(job, ref):
                self._doubtful.pop(0)
            else:
                await asyncio.sleep(ASK_AGAIN)

    async def _ask(self, job: Job, ref: str) -> bool:
        """Whether there was an answer for good."""
        try:
            request = self._requests.ask({"action": "get_job", "payload": {"job_id": job.id}, "ref": ref}, job.changed)
        except TooManyRequests:
            return False
        try:
            while not request.answered:
                await job.changed.wait()
        finally:
            self._requests.answer(ref)
        if request.refused is None:
            return True
        if request.refused.again:
            return False
        self.jobs.interrupt(job)
        return True

    def _take(self, frame: Frame) -> None:
        action = frame["action"]
        if action == "error":
            self._refuse(frame)
            return
        self.jobs.take(frame)
        if action in ("job_queued", "job_status"):
            self._requests.answer(frame.get("ref"))
        elif action == "token_expiring":
            self._tokens.expiring(time_of(frame["payload"]["expires_at"]))
        self._listeners.tell_event(event_of(frame))

    def _refuse(self, frame: Frame) -> None:
        """Something is not done: tell who asked for it, or everybody when nobody knows who did."""
        refused = Refused(
            [ErrorItem(item["type"], tuple(item["loc"]), item["msg"]) for item in frame.get("payload") or ()]
        )
        ref = frame.get("ref")
        request = self._requests.answer(ref, refused)
        if request is None:
            if ref == REFRESH:
                log.warning("the server did not take a newer token: %s", refused)
                self._tokens.refused()
            self._listeners.tell_event(event_of(frame))
        elif request.asks_for_job:
            self.jobs.refuse(request.ref, refused)

    def _submit(
        self, key: str | None, frame: Frame, task_type: str, content: Any, *, retry_of: str | None = None
    ) -> Job:
        if self.trouble is not None:
            raise self.trouble
        key = secrets.token_hex(16) if key is None else key
        if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
            raise ValueError(f"a key is a text of 1 to {LONGEST_KEY} characters, and not {key!r:.200}")
        known = self.jobs.with_key(key)
        if known is not None and (known.id is not None or known.state == "sending"):
            return known
        frame = frame | {"ref": key, "key": key}
        _check(frame, self._limits.frame_bytes)
        self._requests.ask(frame)
        if known is not None and known.state == "unsent":
            self.jobs.send_again(known)
            return known
        job = self._new_job(key, task_type, content)
        job.retry_of, job.frame = retry_of, frame
        return self.jobs.add(job)

    def _new_job(self, key: str, task_type: str, content: Any) -> Job:
        return Job(self, key=key, task_type=task_type, content=content)


def _check(frame: Frame, limit: int) -> None:
    """Look whether a server can read a frame.

    Raises:
        TooLarge: it has more bytes than `limit`.
        ValueError, TypeError: it is no JSON, or is nested too deep.
    """
    try:
        size = len(json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
        if size > limit:
            raise TooLarge(size, limit)
        too_deep = _depth(frame) > DEEPEST
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a text has the lone surrogate {error.object[error.start]!a}, which JSON cannot tell"
        ) from None
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(f"more than {DEEPEST} lists and objects are in one another, with those of the frame")


def _depth(value: Any) -> int:
    """How many lists and objects are in one another, without an empty one."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return max((1 + _depth(each) for each in inner), default=0)
