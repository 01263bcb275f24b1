"""Messages: the exact frames of the wire."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import messages
from bus.messages import (
    Error,
    ErrorItem,
    JobEvent,
    JobOutput,
    JobProgress,
    JobQueued,
    JobResult,
    Message,
    Ping,
    Pong,
    StoredJobEvent,
    SystemMessage,
    SystemNotification,
)


def test_a_frame_is_action_payload_then_the_keys_that_have_a_value() -> None:
    assert Pong().encode() == '{"action":"pong","payload":null}'
    assert Pong().encode(ref="r") == '{"action":"pong","payload":null,"ref":"r"}'
    event = JobResult(payload="é → 'x'", job_id="j", seq=5)
    assert event.encode() == '{"action":"job_result","payload":"é → \'x\'","seq":5,"job_id":"j"}'


def test_an_error_is_a_list_of_items() -> None:
    error = Error(payload=(ErrorItem(type="missing", loc=("ping", "payload", 0), msg="Field required"),))
    assert error.encode() == (
        '{"action":"error","payload":[{"type":"missing","loc":["ping","payload",0],"msg":"Field required"}]}'
    )


@given(text=st.text(st.characters(exclude_categories=["Cs"])), number=st.integers(0, 2**63), fraction=st.floats(0, 1))
def test_a_frame_is_the_compact_json_of_python(text: str, number: int, fraction: float) -> None:
    error = ErrorItem(type=text, loc=(text, number), msg=text)
    for message in (
        JobResult(payload=text, job_id=text, seq=number),
        JobProgress(payload=fraction, message=text),
        Error(payload=(error,)),
    ):
        frame = message.encode(ref=text)
        assert frame == json.dumps(json.loads(frame), ensure_ascii=False, separators=(",", ":"))


def test_types_are_not_coerced() -> None:
    with pytest.raises(ValidationError):
        SystemMessage.model_validate({"payload": {"task_type": 5, "content": "x"}})
    with pytest.raises(ValidationError):
        SystemNotification.model_validate({"payload": 5})


def test_unknown_keys_are_ignored() -> None:
    assert Ping.model_validate({"action": "ping", "payload": None, "x": 1}) == Ping()


def test_a_message_class_needs_one_action() -> None:
    with pytest.raises(TypeError, match="Literal"):
        Message.action_name()


def test_every_step_of_a_job_can_be_read_back_from_its_subject() -> None:
    kinds = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, JobEvent)}
    assert set(get_args(StoredJobEvent)) == kinds - {JobEvent, JobOutput, JobProgress}


def test_a_job_that_has_ended_is_not_running() -> None:
    assert {kind.action_name() for kind in get_args(StoredJobEvent) if kind.running} == {"job_started"}
    ends = {kind.action_name() for kind in get_args(StoredJobEvent) if kind.ended}
    assert ends == {"job_result", "job_failed", "job_cancelled"}


def test_what_was_asked_for_is_read_from_the_request_and_never_stored_twice() -> None:
    request = {"task_type": "shout", "job_type": "default", "content": "hi"}
    queued = JobQueued.model_validate({"payload": "", "request": request})
    assert (queued.task_type, queued.content) == ("shout", "hi")
    assert "request" not in queued.encode()


def test_an_announcement_without_level_and_expiry_is_the_frame_it_always_was() -> None:
    assert SystemNotification(payload="hi").encode() == '{"action":"system_notification","payload":"hi"}'
    assert not SystemNotification(payload="hi").expired(datetime.max.replace(tzinfo=UTC))


def test_an_announcement_has_expired_from_the_time_on_that_it_names() -> None:
    event = SystemNotification.model_validate(
        {"payload": "hi", "level": "critical", "expires_at": "2026-12-01T07:00:00+01:00"}
    )
    assert event.encode() == (
        '{"action":"system_notification","payload":"hi","level":"critical","expires_at":"2026-12-01T06:00:00.000000Z"}'
    )
    time = datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert not event.expired(time - timedelta(microseconds=1))
    assert event.expired(time)


def submit(**keys: object) -> SystemMessage:
    return SystemMessage.model_validate({"payload": {"task_type": "default", "content": "hi"}, **keys})


@pytest.mark.parametrize("written", ["2026-12-01T07:00:00+01:00", "2026-12-01T06:00Z", "2026-12-01T06:00:00.000000Z"])
def test_a_time_is_read_in_any_time_zone_and_is_utc_from_then_on(written: str) -> None:
    assert submit(not_before=written).not_before == "2026-12-01T06:00:00.000000Z"


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"not_before": "2026-12-01T06:00:00"}, "not_a_time"),
        ({"not_before": "2026-12-01"}, "not_a_time"),
        ({"not_before": "tomorrow"}, "not_a_time"),
        ({"not_before": "9999-12-31T23:59:59-12:00"}, "not_a_time"),
        ({"not_before": 1_800_000_000}, "string_type"),
        ({"delay": -1}, "greater_than_equal"),
        ({"delay": 366 * 86_400 + 1}, "less_than_equal"),
        ({"delay": "10"}, "float_type"),
        ({"delay": True}, "float_type"),
        ({"delay": 1, "not_before": "2026-12-01T06:00:00Z"}, "not_before_and_delay"),
    ],
)
def test_what_is_no_time_to_wait_for_is_refused(keys: dict[str, object], kind: str) -> None:
    with pytest.raises(ValidationError) as refused:
        submit(**keys)
    assert [error["type"] for error in refused.value.errors()] == [kind]


def test_a_queued_job_tells_when_it_may_begin_and_stores_that_once() -> None:
    request = {"task_type": "shout", "job_type": "shout", "content": "hi", "not_before": "2026-12-01T06:00:00.000000Z"}
    queued = JobQueued.model_validate({"payload": "", "request": request})
    assert '"not_before":"2026-12-01T06:00:00.000000Z"' in queued.encode()
    assert "not_before" not in JobQueued(payload="").encode()
