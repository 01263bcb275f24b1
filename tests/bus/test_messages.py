"""Messages: the exact frames of the wire."""

import pytest
from pydantic import ValidationError

from bus.messages import Error, ErrorItem, JobResult, Message, Ping, Pong, SystemMessage, SystemNotification


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


def test_types_are_not_coerced() -> None:
    with pytest.raises(ValidationError):
        SystemMessage.model_validate({"payload": {"task_type": "x", "content": 5}})
    with pytest.raises(ValidationError):
        SystemNotification.model_validate({"payload": 5})


def test_unknown_keys_are_ignored() -> None:
    assert Ping.model_validate({"action": "ping", "payload": None, "x": 1}) == Ping()


def test_a_message_class_needs_one_action() -> None:
    with pytest.raises(TypeError, match="Literal"):
        Message.action_name()
