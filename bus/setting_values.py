"""The kinds of values that settings have: their bounds, and in words why a text is none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

YEAR = 365 * 86_400
MIB = 1024 * 1024

Seconds = Annotated[float, Field(ge=0.001, le=YEAR, allow_inf_nan=False)]
"""A deadline or an interval: what timers can bear, and no wait of nothing that would make a loop spin."""
Interval = Annotated[float, Field(ge=0.1, le=YEAR, allow_inf_nan=False)]
"""How often something is done that costs a round trip."""
Age = Annotated[float, Field(ge=1, le=100 * YEAR, allow_inf_nan=False)]
"""How long something is kept. NATS counts nanoseconds in 64 bits: 292 years."""
Bytes = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""What one process holds in memory."""
MessageBytes = Annotated[int, Field(ge=1, le=64 * MIB)]
"""One message; NATS takes none above 64 MiB, and 1 MiB unless it was told otherwise."""
StreamBytes = Annotated[int, Field(ge=MIB, le=2**63 - 1)]
"""What one stream holds on disk."""
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""How many of something; what the kernel and a C int can take."""
Share = Annotated[float, Field(ge=0.001, le=1, allow_inf_nan=False)]
"""A part of something."""

_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
_NUMBERS = {
    "int_parsing": "a plain whole number, without unit or fraction",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a plain number, without unit",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}


def text(value: object) -> object:
    """A value as it is.

    Raises:
        ValueError: it is a string that cannot be written as UTF-8, as when the environment has other bytes.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be valid UTF-8") from None
        if "\0" in value:
            raise ValueError("must have no NUL characters")
    return value


def cleaned(value: object) -> object:
    """A value as it was meant: white space around it is not part of it.

    Raises:
        ValueError: it is not text, or stands in quotes, which a shell removes and other readers of a list of variables
            do not.
    """
    value = text(value)
    if not isinstance(value, str):
        return value
    bare = value.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`":
        raise ValueError("stands in quotes, which would be part of the value; remove them")
    return bare


def reason(error: Mapping[str, Any]) -> str:
    """One of pydantic's error items in words, without the value, which may be secret."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        return "must be " + _BOUNDS[kind].format(**context)
    if kind in _NUMBERS:
        return f"must be {_NUMBERS[kind]}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return str(error["msg"])
