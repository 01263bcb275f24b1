"""`/api/jobs`: submit, look, cancel and retry, as the channel does it for frames."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from quart import Blueprint, Request, Response, request

from bus import CorruptJob, InvalidName, UnknownJob, job_log
from bus.messages import CancelJob, GetJob, JobStatus, RetryJob, SystemMessage
from bus.traces import Traceparent
from quart_app.errors import BadFrame, Refused
from quart_app.http.answers import answer
from quart_app.http.asker import Asker
from quart_app.http.caller import Caller
from quart_app.http.desk import Desk
from quart_app.http.models import Accepted, Wait
from quart_app.websocket.frame_parser import item, items_of
from workers import submission

FIRST_LOOK, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two looks at a job whose end is waited for; twice as long each time."""

_TRACEPARENT: TypeAdapter[str] = TypeAdapter(Traceparent)


def add_jobs(routes: Blueprint, desk: Desk, asker: Asker) -> None:
    """Add what is below `/api/jobs`.

    Args:
        routes: of `/api`.
        desk: says who asks, and whether that one may ask again by now.
        asker: does it.
    """

    async def accept(caller: Caller, frame: dict[str, Any]) -> Response:
        """Have a job accepted. One without a key gets one, so that its id is known here."""
        frame["key"] = key = request.headers.get("Idempotency-Key", secrets.token_hex(16))
        frame["traceparent"] = _traceparent(request)
        resume = await desk.resume_token(caller)
        told = await asker.ask(request, caller, frame)
        known = told.payload if isinstance(told, JobStatus) else None
        accepted = Accepted(
            job_id=submission.new_job_id(caller.client_id, key),
            state=known.state if known else "job_queued",
            client_id=caller.client_id,
            resume=resume,
        )
        headers = {"Location": f"{request.root_path}/api/jobs/{accepted.job_id}"}
        shown = accepted.model_dump(exclude_none=True)
        return desk.remembering(answer(shown, 200 if known else 202, headers), caller, resume)

    async def view(caller: Caller, job_id: str) -> Response:
        status = await asker.ask(request, caller, _about(GetJob, job_id))
        if not isinstance(status, JobStatus):
            raise TypeError("the channel does not say how a job stands")
        return answer(status.payload)

    @routes.post("/jobs")
    async def submit() -> Response:
        """Submit a job."""
        caller = await desk.caller()
        body = await _object(request)
        payload: dict[str, Any] = {key: body[key] for key in ("task_type", "content") if key in body}
        later: dict[str, Any] = {key: body[key] for key in ("not_before", "delay") if key in body}
        return await accept(caller, {"action": SystemMessage.action_name(), "payload": payload, **later})

    @routes.post("/jobs/<job_id>/retry")
    async def retry(job_id: str) -> Response:
        """Do a job again that has ended: a new one with the same request."""
        caller = await desk.caller(known=True)
        await _object(request)
        return await accept(caller, _about(RetryJob, job_id))

    @routes.delete("/jobs/<job_id>")
    async def cancel(job_id: str) -> Response:
        """Call a job off, and say how it stands then. One that has ended stays as it is."""
        caller = await desk.caller(known=True)
        await asker.ask(request, caller, _about(CancelJob, job_id))
        return await view(caller, job_id)

    @routes.get("/jobs/<job_id>")
    async def status(job_id: str) -> Response:
        """Say how a job stands, now or once it has ended."""
        caller = await desk.caller(known=True)
        try:
            wait = Wait.model_validate(request.args.to_dict()).wait
        except ValidationError as error:
            raise BadFrame(tuple(item(one.type, ("query", *one.loc), one.msg) for one in items_of(error))) from error
        if wait and desk.may_wait:
            await _ended(desk, caller.client_id, job_id, wait)
        return await view(caller, job_id)


async def _ended(desk: Desk, client_id: str, job_id: str, seconds: float) -> None:
    """Return when a job has ended, the time is over, or this process is about to stop."""
    pause = FIRST_LOOK
    try:
        async with asyncio.timeout(seconds), desk.waiting():
            while not desk.draining and not (await job_log.read(desk.bus.stream, client_id, job_id)).ended:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
    except (TimeoutError, UnknownJob, CorruptJob, InvalidName):
        return  # whatever there is to say of it, the channel says


def _about(kind: type[CancelJob | RetryJob | GetJob], job_id: str) -> dict[str, Any]:
    return {"action": kind.action_name(), "payload": {"job_id": job_id}}


async def _object(asked: Request) -> dict[str, Any]:
    """The JSON object of a request; empty when it has no body.

    A form of another site's page can send none that is said to be JSON, and a script only when it may.

    Raises:
        Refused: it is not said to be JSON.
        BadFrame: it is none.
    """
    if asked.mimetype != "application/json":
        raise Refused("not_json", "send JSON, and say so: Content-Type: application/json")
    data = await asked.get_data(cache=False)
    try:
        body = from_json(data, allow_inf_nan=False) if data else {}
    except ValueError as error:
        raise BadFrame((item("json_invalid", ("body",), f"Invalid JSON: {error}"),)) from error
    if not isinstance(body, dict):
        raise BadFrame((item("dict_type", ("body",), "Input should be a JSON object"),))
    return body


def _traceparent(asked: Request) -> str | None:
    """The trace of a request; one that is not well-formed is passed over, as W3C Trace Context section 3.2 has it."""
    try:
        return _TRACEPARENT.validate_python(asked.headers["traceparent"])
    except (KeyError, ValidationError):
        return None
