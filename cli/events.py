"""A stored event as commands show it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from bus import Interruption, Stored, SystemNotification, subjects
from bus.job_log import JobState
from bus.job_step import JobCarried
from bus.messages import as_text
from cli.when import local, until, waits_until

EVENT_STYLES = {
    "job_started": "cyan",
    "job_output": "dim",
    "job_result": "green",
    "job_failed": "red",
    "job_cancelled": "yellow",
    "job_retrying": "magenta",
    "job_requeued": "magenta",
    "system_notification": "bold",
}
LEVEL_STYLES = {"warning": "bold yellow", "critical": "bold white on red"}
"""Of announcements that say more than for information."""
STATES = {
    "job_queued": "queued",
    "job_retrying": "retrying",
    "job_requeued": "requeued",
    "job_started": "running",
    "job_result": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}
"""What people call a job's state after this action."""
INTERRUPTIONS = {
    Interruption.AWAY: "NATS is away; going on when it is back",
    Interruption.BACK: "NATS is back; what happened meanwhile is above",
    Interruption.MADE_ANEW: "the stream was made anew; going on with its first event",
}
"""What is said to whoever waits for events."""


def record(stored: Stored) -> dict[str, Any]:
    """The event for programs: the frame that clients see, with its time and who it is for.

    Whatever other programs have stored is shown too: bytes that are no frame become the payload of `unreadable`.
    """
    try:
        frame = json.loads(stored.data)
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict) or not isinstance(frame.get("action"), str):
        frame = {"action": "unreadable", "payload": stored.data.decode(errors="replace")}
    for key in ("instance", "waits"):  # what only workers read
        frame.pop(key, None)
    if isinstance(request := frame.pop("request", None), dict):
        beside = ("task_type", "content", "retry_of", "not_before", "slot")
        frame |= {key: request.get(key) for key in beside}
        if request.get("job_type") != request.get("task_type"):
            frame["runs"] = request.get("job_type")
    address = subjects.parse(stored.subject)
    who: dict[str, Any] = {"subject": stored.subject}
    if address is not None:
        who = {"client_id": address.client_id, "job_id": address.job_id, "group": address.group}
    told = {"action": frame.pop("action"), "payload": frame.pop("payload", None), **frame, **who}
    told |= {"seq": stored.seq or None, "at": stored.at}
    return {key: value for key, value in told.items() if value is not None or key == "payload"}


def is_news(event: dict[str, Any]) -> bool:
    """Whether it says anything: a job that is carried forward stays as it is, and what has expired holds no more."""
    return bool(event["action"] != JobCarried.action_name()) and not _expired(event)


def standing(job: JobState) -> str:
    """How a job stands, as people call it; of one that waits for its time until when."""
    time = waits_until(job)
    return STATES[job.state] if time is None else f"scheduled for {local(time)} (in {until(time)})"


def text(event: dict[str, Any]) -> str:
    """The payload as people read it.

    Of a job that is tried again, or waits for its time, it says when; of one that a schedule made, for which time.
    """
    told = _told(event)
    if event["action"] == "job_queued" and (begins := moment(str(event.get("not_before", "")))) is not None:
        return f"scheduled for {local(begins)}: {told}"
    if event["action"] == "job_queued" and (slot := moment(str(event.get("slot", "")))) is not None:
        return f"{told} (slot {slot:%Y-%m-%d %H:%M:%S})"
    next_at, attempt = moment(str(event.get("next_at", ""))), event.get("attempt")
    if event["action"] != "job_retrying" or next_at is None or not isinstance(attempt, int):
        return told
    return f"{told} (attempt {attempt + 1} at {next_at:%H:%M:%S})"


def _told(event: dict[str, Any]) -> str:
    match event:
        case {"action": "job_queued", "task_type": str(job_type), "content": content}:
            return f"{job_type}: {as_text(content)}"
        case {"action": "job_failed", "reason": str(reason)}:
            return reason
    payload = event["payload"]
    return payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)


def result(event: dict[str, Any]) -> str:
    """The payload of a job's result: what is no text is JSON, in a terminal on several lines."""
    payload = event["payload"]
    if isinstance(payload, str) or not sys.stdout.isatty():
        return text(event)
    return json.dumps(payload, ensure_ascii=False, indent=2)


def moment(timestamp: str) -> datetime | None:
    """A time of an event in the time zone of this machine; None for what is no time, or none there."""
    try:
        return datetime.fromisoformat(timestamp).astimezone()
    except (ValueError, OverflowError):
        return None


def style(event: dict[str, Any]) -> str:
    """How its action is shown: by the level of an announcement, and by what it means for a job."""
    return LEVEL_STYLES.get(_level(event)) or EVENT_STYLES.get(event["action"], "")


def level(event: dict[str, Any]) -> str:
    """What stands before the text of an announcement that says more than for information: its level in words."""
    return f"{_level(event).capitalize()}: " if _level(event) in LEVEL_STYLES else ""


def _level(event: dict[str, Any]) -> str:
    return str(event.get("level")) if event["action"] == SystemNotification.action_name() else ""


def _expired(event: dict[str, Any]) -> bool:
    try:
        return SystemNotification.model_validate(event).expired(datetime.now(UTC))
    except ValueError:  # another event, or one that says no time
        return False
