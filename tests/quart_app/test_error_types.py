"""What the page of the wire says of errors is what the code gives: every type and no other, and every HTTP status."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from quart_app.error_types import OF_CONSOLE, OF_FRAMES, OF_HTTP, OF_REQUESTS

ROOT = Path(__file__).parent.parent.parent
GIVEN_BY = {"Refused", "_refuse", "item", "PydanticCustomError", "ErrorItem"}
"""What gives a type: its first argument, or the one that is called so."""
PYDANTICS = {"union_tag_not_found", "union_tag_invalid", "string_type", "string_unicode", "serialization", "dict_type"}
"""Names of pydantic's own, of which the first two say what no other says."""


def given() -> Iterator[str]:
    """Every type that stands in the code as text."""
    for package in ("bus/messages", "workers", "quart_app"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and _name(node.func) in GIVEN_BY:
                    types = (*node.args[:1], *(word.value for word in node.keywords if word.arg == "type"))
                    yield from (one.value for one in types if isinstance(one, ast.Constant))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_the_table_has_every_type_that_is_given_and_no_other() -> None:
    listed = [one.type for one in (*OF_FRAMES, *OF_REQUESTS, *OF_HTTP, *OF_CONSOLE)]
    assert len(set(listed)) == len(listed)
    assert set(listed) - PYDANTICS == set(given()) - PYDANTICS


def test_clients_send_again_only_what_may_be_accepted_later() -> None:
    script = (ROOT / "clients/js/src/errors.js").read_text()
    [passing] = re.findall(r"^const PASSING = /(.*)/;$", script, re.MULTILINE)
    sent_again = {one.type for one in OF_REQUESTS if re.search(passing, one.type)}
    assert sent_again
    assert sent_again <= {one.type for one in OF_REQUESTS if one.again}


def test_every_status_of_a_refused_handshake_is_on_the_page_of_the_wire() -> None:
    code = "".join(
        (ROOT / "quart_app" / file).read_text()
        for file in ("websocket/endpoint.py", "websocket/admission.py", "web/hosts.py")
    )
    page = (ROOT / "docs/reference/wire.md").read_text().partition("## When the handshake is refused")[2]
    status = r"\b([45]\d\d)\b"
    assert set(re.findall(status, page)) == set(re.findall(status, code))
