"""Frames from clients: strict JSON, and pydantic's own account of what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import Ping, SystemMessage
from quart_app.channels.system import SystemChannel
from quart_app.errors import BadFrame
from quart_app.websocket.frame_parser import FrameParser

PARSER = FrameParser({action: operation.message for action, operation in SystemChannel.receives.items()})
SUBMIT = {"action": "system_message", "payload": {"task_type": "translate", "content": "hello"}}


def wrong(frame: str | bytes | None) -> list[tuple[str, list[object]]]:
    with pytest.raises(BadFrame) as caught:
        PARSER.parse(frame)
    return [(item.type, list(item.loc)) for item in caught.value.error.payload]


def test_good_frames() -> None:
    assert PARSER.parse('{"action":"ping"}') == Ping()
    assert PARSER.parse('{"action":"ping","payload":null,"ref":"r","more":1}') == Ping(ref="r")
    assert PARSER.parse(json.dumps(SUBMIT)) == SystemMessage.model_validate(SUBMIT)


@pytest.mark.parametrize(
    ("frame", "kind", "loc"),
    [
        (b"", "binary_frame", []),
        (None, "binary_frame", []),
        (b'{"action":"ping"}', "binary_frame", []),
        ("", "json_invalid", []),
        ("{", "json_invalid", []),
        ("ping", "json_invalid", []),
        ('{"action":"ping"} x', "json_invalid", []),
        ('{"action":"ping","x":NaN}', "json_invalid", []),
        ('{"action":"ping","x":-Infinity}', "json_invalid", []),
        ('{"action":"ping","x":"\\ud800"}', "json_invalid", []),
        ("[" * 100_000, "json_invalid", []),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "json_invalid", []),
        ("null", "model_attributes_type", []),
        ("[]", "model_attributes_type", []),
        ("5", "model_attributes_type", []),
        ('"ping"', "model_attributes_type", []),
        ("{}", "union_tag_not_found", []),
        ('{"action":null}', "union_tag_invalid", []),
        ('{"action":5}', "union_tag_invalid", []),
        ('{"action":["ping"]}', "union_tag_invalid", []),
        ('{"action":"unknown"}', "union_tag_invalid", []),
        ('{"action":"job_result","payload":"forged"}', "union_tag_invalid", []),
        ('{"action":"ping","payload":{}}', "none_required", ["ping", "payload"]),
        ('{"action":"ping","ref":5}', "string_type", ["ping", "ref"]),
        ('{"action":"system_message"}', "missing", ["system_message", "payload"]),
        ('{"action":"system_message","payload":null}', "model_type", ["system_message", "payload"]),
        (
            '{"action":"system_message","payload":{"task_type":"x"}}',
            "missing",
            ["system_message", "payload", "content"],
        ),
        (
            '{"action":"system_message","payload":{"task_type":5,"content":"x"}}',
            "string_type",
            ["system_message", "payload", "task_type"],
        ),
    ],
)
def test_what_is_wrong_is_said(frame: str | bytes | None, kind: str, loc: list[object]) -> None:
    assert wrong(frame) == [(kind, loc)]


def test_every_mistake_is_said() -> None:
    assert wrong('{"action":"system_message","payload":{},"ref":1}') == [
        ("missing", ["system_message", "payload", "task_type"]),
        ("missing", ["system_message", "payload", "content"]),
        ("string_type", ["system_message", "ref"]),
    ]


def test_the_error_repeats_a_usable_ref() -> None:
    with pytest.raises(BadFrame) as caught:
        PARSER.parse('{"action":"nonsense","ref":"r1"}')
    assert caught.value.error.ref == "r1"


@pytest.mark.parametrize(
    ("frame", "ref"),
    [
        ('{"action":"ping","payload":"\\ud800","ref":"r1"}', "r1"),
        ('{"payload":NaN,"ref" : "\\"r\\u00e9\\"","key":"k"}', '"ré"'),
        ('{"payload":' + "[" * 10_000 + "]" * 10_000 + ',"ref":"r1"}', "r1"),
        ('{"payload":{"ref":"inner"},"ref":"outer"', "outer"),
        ('{"payload":NaN,"ref":"' + "r" * 129 + '"}', None),
        ('{"payload":NaN,"ref":"\\ud800"}', None),
        ('{"payload":NaN,"ref":1}', None),
        ('{"payload":NaN,"ref":"r1', None),
        ('"ref":' * 10_000, None),
    ],
)
def test_what_is_no_json_is_refused_with_its_ref_all_the_same(frame: str, ref: str | None) -> None:
    with pytest.raises(BadFrame) as caught:
        PARSER.parse(frame)
    assert caught.value.error.ref == ref


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["ping", "system_message", "pong"]) | JSON,
        "payload": st.fixed_dictionaries({}, optional={"task_type": JSON, "content": JSON}) | JSON,
        "ref": JSON,
    },
)


@given(st.text() | st.binary() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
def test_every_frame_is_a_message_or_an_error_that_can_be_sent(frame: str | bytes) -> None:
    try:
        message = PARSER.parse(frame)
    except BadFrame as bad:
        answer = json.loads(bad.error.encode().encode())
        assert answer["action"] == "error"
        assert answer["payload"]
        assert all(set(item) == {"type", "loc", "msg"} for item in answer["payload"])
    else:
        assert message.action in SystemChannel.receives
