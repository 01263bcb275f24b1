"""Frames from clients: from text to a message, or to pydantic's account of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema, from_json

from bus.messages import ClientMessage, ErrorItem, Message
from quart_app.errors import BadFrame

MAX_REF = 128
_REF = re.compile(r'"ref"\s*:\s*("(?:[^"\\]|\\.)*")')


class FrameParser:
    """Turns one text frame into one of the messages of a channel.

    Args:
        messages: the message classes by action.
    """

    def __init__(self, messages: Mapping[str, type[Message]]) -> None:
        choices = {action: message.__pydantic_core_schema__ for action, message in messages.items()}
        self._validator = SchemaValidator(core_schema.tagged_union_schema(choices, discriminator="action"))

    def parse(self, frame: str | bytes | None) -> ClientMessage:
        """Read a frame.

        Raises:
            BadFrame: it is binary, no strict JSON (RFC 8259: no NaN, no lone surrogates), no object, or not
                one of the messages.
        """
        if not isinstance(frame, str):
            raise BadFrame((item("binary_frame", (), "Binary frames are not accepted; send JSON in a text frame"),))
        try:
            data = from_json(frame, allow_inf_nan=False)
        except ValueError as error:
            raise BadFrame((item("json_invalid", (), f"Invalid JSON: {error}"),), _ref_in(frame)) from error
        return self.message(data)

    def message(self, data: object) -> ClientMessage:
        """Read what was JSON.

        Raises:
            BadFrame: it is none of the messages.
        """
        try:
            message: ClientMessage = self._validator.validate_python(data)
        except ValidationError as error:
            raise BadFrame(items_of(error), _ref(data)) from error
        return message


def longer(frame: str | bytes, limit: int) -> bool:
    """Whether a frame has more bytes than `limit`, encoding it only when its characters leave that open."""
    if len(frame) > limit:
        return True
    return isinstance(frame, str) and 4 * len(frame) > limit and len(frame.encode()) > limit


def item(kind: str, loc: tuple[str | int, ...], message: str) -> ErrorItem:
    """One thing that is wrong, in the form of pydantic's error items."""
    return ErrorItem(type=kind, loc=loc, msg=message)


def items_of(error: ValidationError) -> tuple[ErrorItem, ...]:
    """What is wrong, in the form that clients get."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(item(detail["type"], detail["loc"], detail["msg"]) for detail in details)


def _ref_in(frame: str) -> str | None:
    """The last `ref` in what is no JSON, or no strict one: whoever sent it should know what was refused."""
    found = _REF.match(frame, max(frame.rfind('"ref"'), 0))
    try:
        return _ref({"ref": from_json(found[1])}) if found else None
    except ValueError:
        return None


def _ref(data: object) -> str | None:
    ref = data.get("ref") if isinstance(data, dict) else None
    return ref if isinstance(ref, str) and len(ref) <= MAX_REF else None
