"""Message: a frame of the wire, `{"action": ..., "payload": ...}` plus optional flat keys, in that order."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, to_json

from bus import times


def _time(value: str) -> str:
    try:
        return times.written(times.read(value))
    except ValueError as error:
        raise PydanticCustomError("not_a_time", "Input {reason}", {"reason": str(error)}) from None


Ref = Annotated[str, Field(max_length=128)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(_time)]
"""A time, once it is read: RFC 3339, in UTC."""


def as_text(value: object) -> str:
    """A JSON value for people: text as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else to_json(value).decode()


class Message(BaseModel):
    """Anything with an `action`. Subclasses narrow it to one `Literal` and say what `payload` is."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    nullable: ClassVar[frozenset[str]] = frozenset()
    """Flat keys for which null is a value: they are left out when nobody set them, and not when they are None."""

    action: str
    payload: Any = None

    @classmethod
    def action_name(cls) -> str:
        """The one `action` of this class.

        Raises:
            TypeError: the class does not narrow `action` to a `Literal` of one string.
        """
        values = get_args(cls.model_fields["action"].annotation)
        if len(values) != 1 or not isinstance(values[0], str):
            raise TypeError(f"{cls.__name__}.action must be a Literal of one string, e.g. Literal['ping'] = 'ping'")
        return values[0]

    def encode(self, **extra: object) -> str:
        """The frame as compact JSON: action, payload, then every other key that has a value.

        Args:
            extra: flat keys to add, such as `seq`; None leaves one out.
        """
        without = {key for key, value in vars(self).items() if value is None}
        without.discard("payload")
        if self.nullable:
            without -= self.nullable & self.model_fields_set
        if extra:
            without |= extra.keys()
        if isinstance(self.payload, float):  # 1e-05 is written in another way by pydantic
            frame = json.dumps(self.model_dump(mode="json", exclude=without), ensure_ascii=False, separators=(",", ":"))
        else:
            frame = self.__pydantic_serializer__.to_json(self, exclude=without).decode()
        more = {key: value for key, value in extra.items() if value is not None}
        return f"{frame[:-1]},{to_json(more).decode()[1:]}" if more else frame
