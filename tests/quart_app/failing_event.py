"""An event of somebody's own whose class raises what nobody foresaw."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import field_serializer, field_validator

from bus import Event


class FailingEvent(Event):
    """Its payload says at what it fails: `validated`, `expired`, `expired later` or `encoded`."""

    action: Literal["failing"] = "failing"
    payload: str

    @field_validator("payload")
    @classmethod
    def _valid(cls, value: str) -> str:
        return _unless(value, "validated")

    @field_serializer("payload")
    def _written(self, value: str) -> str:
        return _unless(value, "encoded")

    def expired(self, now: datetime) -> bool:
        _unless(self.payload, "expired")
        if now.year > 1970:
            _unless(self.payload, "expired later")
        return False


def _unless(payload: str, asked: str) -> str:
    if payload == asked:
        raise AttributeError(asked)
    return payload
