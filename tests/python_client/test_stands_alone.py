"""The client needs websockets and nothing else, and says the same as the server where both know something."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from busctl_client.close_codes import FINAL
from busctl_client.conversation import Conversation
from busctl_client.errors import PASSING
from busctl_client.limits import Limits
from busctl_client.listeners import Listeners
from busctl_client.session import Session
from busctl_client.tokens import Tokens

from quart_app import close_codes, error_types
from quart_app.channels.system import SystemChannel
from quart_app.errors import BadFrame
from quart_app.websocket.frame_parser import FrameParser

ROOT = Path(__file__).parents[2]
OTHERS = ["bus", "cli", "workers", "quart_app", "quart", "hypercorn", "celery", "kombu", "nats", "redis", "pydantic"]


def test_it_is_imported_without_servers_or_anything_that_they_need() -> None:
    forbid = f"import sys; sys.modules.update(dict.fromkeys({OTHERS}))"  # importing one of them fails then
    program = f"{forbid}; import busctl_client; print(busctl_client.connect('http://127.0.0.1:1').state.name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("connecting\n", "")


def test_the_extra_names_websockets_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (needed,) = project["project"]["optional-dependencies"]["client"]
    assert needed.startswith("websockets")
    assert "clients/python/busctl_client" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (ROOT / "clients/python/busctl_client/py.typed").exists()


def test_it_comes_back_after_the_close_codes_after_which_the_server_says_so() -> None:
    assert set(FINAL) == {close.code for close in close_codes.ALL if not close.reconnect}


@pytest.mark.parametrize("nest", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"in": inner}])
@pytest.mark.parametrize("innermost", ["a text", [], {}])
async def test_it_sends_what_the_server_can_read_however_deep(nest: Callable[[Any], Any], innermost: Any) -> None:
    parser = FrameParser({action: operation.message for action, operation in SystemChannel.receives.items()})
    talk = Conversation(Session(), Tokens(None, 1), Listeners(), Limits(), lambda: None)
    content = innermost
    for _ in range(198):
        content = nest(content)
    talk.submit("t", content)
    frame = await talk.next_request()
    assert parser.parse(json.dumps(frame)).payload.content == json.loads(json.dumps(content))
    with pytest.raises(BadFrame):
        parser.parse(json.dumps(frame | {"payload": {"task_type": "t", "content": nest(content)}}))
    for more in (1, 1000, 1000):
        for _ in range(more):
            content = nest(content)
        with pytest.raises(ValueError, match="more than 200 lists and objects"):
            talk.submit("t", content)
    assert len(talk.jobs) == 1


def test_it_knows_which_errors_pass() -> None:
    assert {error.type for error in error_types.OF_REQUESTS if error.again} == PASSING
