"""Whatever comes from outside, each parser gives what it promises or raises what it promises, and nothing else.

`make fuzz` tries it for as long as one likes, each time with something else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import (
    CorruptJob,
    Settings,
    bind_address,
    durations,
    nats_url,
    origins,
    redis_url,
    stored,
    subjects,
    times,
    traces,
)
from bus.job_log import step_of
from bus.messages import Connect
from bus.networks import networks
from bus.nkey import NKey
from bus.stored import Stored
from bus.stream_leader import StreamState
from quart_app.channels.system import SystemChannel
from quart_app.errors import BadFrame, BadKeys, Unauthorized
from quart_app.identity import keys, token
from quart_app.identity.claims import identity_of
from quart_app.identity.identity import Identity
from quart_app.web.forwarded import forwarded, node, x_forwarded
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.session import Session, Sessions
from tests.tokens import AUDIENCE, ISSUER, SHARED, claims, jwk, jwks, pem
from tests.tokens import token as signed
from workers import envelope
from workers.errors import Malformed
from workers.ticket import Ticket

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
"""How many inputs each parser gets; unset, the same few every time."""
FRAMES = FrameParser({action: operation.message for action, operation in SystemChannel.receives.items()})
CONNECT = FrameParser({"connect": Connect})
SESSIONS = Sessions(Settings.load(secret="s" * 32))
SOMEBODY = Identity("c" * 22)
RESUME = SESSIONS.resume_token(Session(SOMEBODY.client_id, "e", 1, known=True), StreamState("e", 1, 1))
WITH_JWT = Settings.load(auth="jwt", auth_secret=SHARED)
QUEUED = json.dumps(
    {
        "action": "job_queued",
        "payload": "⏳",
        "job_id": "j",
        "request": {"task_type": "t", "job_type": "t", "content": "x", "not_before": "2026-01-01T00:00:00Z"},
        "waits": True,
    }
)
LIVE = {
    "Nats-Stream": "EVENTS",
    "Nats-Subject": "bus.client.c.job.j",
    "Nats-Sequence": "7",
    "Nats-Last-Sequence": "3",
    "Nats-Time-Stamp": "2026-01-02T03:04:05.678Z",
}
TASK = json.dumps(
    {
        "body": "W1siYyIsICJqIl0sIHt9LCB7ImNhbGxiYWNrcyI6IG51bGx9XQ==",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "jobs.default", "id": "j", "root_id": "j", "parent_id": None},
        "properties": {
            "correlation_id": "j",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "jobs"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "t",
        },
    }
)
TICKET = json.dumps(
    {"seq": 1, "attempt": 0, "ref": None, "request": {"task_type": "t", "job_type": "t", "content": "x"}}
)


@dataclass(frozen=True)
class Parser:
    """One of them.

    Args:
        call: gives it a text.
        examples: good ones, that are changed a little.
        raises: what it may raise.
    """

    call: Callable[[str], object]
    examples: tuple[str, ...]
    raises: tuple[type[Exception], ...] = ()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _texts(headers: Any) -> Any:
    return {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _identity(text: str) -> object:
    told = _json(text)
    if not isinstance(told, dict):
        return None
    token.check(told, issuer=ISSUER, audience=AUDIENCE)
    return identity_of(told, WITH_JWT)


PARSERS = {
    "frame": Parser(
        FRAMES.parse,
        (
            '{"action":"system_message","payload":{"task_type":"t","content":"x"},"key":"k","not_before":"2030-01-01T00:00:00Z"}',
            '{"action":"get_job","payload":{"job_id":"j"},"ref":"r"}',
            '{"action":"system_message","payload":{"task_type":"t","content":1},"delay":1.5,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
        ),
        (BadFrame,),
    ),
    "connect frame": Parser(
        CONNECT.parse,
        ('{"action":"connect","payload":{"resume":"r","cursors":{"client":1,"system":2},"token":"t"}}',),
        (BadFrame,),
    ),
    "resume token": Parser(lambda text: SESSIONS.session(SOMEBODY, text), (RESUME,)),
    "identity token header": Parser(token.header_of, (signed(),), (Unauthorized,)),
    "claims": Parser(_identity, (json.dumps(claims(groups=["a"], exp=4e9)),), (Unauthorized,)),
    "key set": Parser(
        lambda text: keys.of_jwks(text.encode(errors="replace")), (jwks(jwk("RSA")).decode(),), (BadKeys,)
    ),
    "keys": Parser(keys.of_pem, (pem("Ed25519"),), (BadKeys,)),
    "stored event of a job": Parser(
        lambda text: step_of(
            Stored(1, "bus.client.c.job.j", text.encode(errors="replace"), timestamp="2026-01-02T03:04:05Z")
        ),
        (QUEUED,),
        (CorruptJob,),
    ),
    "live event": Parser(
        lambda text: stored.from_live("live.client.c.job.j", b"{}", _texts(_json(text))), (json.dumps(LIVE),)
    ),
    "subject": Parser(subjects.parse, ("bus.client.c.job.j", "live.group.system", "progress.client.c.j")),
    "message in Redis": Parser(
        lambda text: envelope.read(text.encode(errors="replace"), "jobs"), (TASK,), (Malformed,)
    ),
    "id of a message in Redis": Parser(lambda text: envelope.job_id(text.encode(errors="replace")), (TASK,)),
    "ticket": Parser(lambda text: Ticket.read(_json(text)), (TICKET,)),
    "duration": Parser(durations.read, ("1h30m", "90s"), (ValueError,)),
    "time": Parser(times.read, ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+01:00"), (ValueError,)),
    "Redis URL": Parser(
        redis_url.parse,
        (
            "redis://u:p@h:6379/0",
            "unix:///run/x?db=1",
            "sentinel://a:1;sentinel://b:2/0?master_name=m",
            "rediss://h/0?ssl_cert_reqs=none",
        ),
        (ValueError,),
    ),
    "Redis URL that is shown": Parser(redis_url.redacted, ("redis://u:p@h:6379/0",)),
    "NATS URL": Parser(nats_url.parse, ("nats://u:p@h:4222,tls://t@[::1]:1",), (ValueError,)),
    "NATS URL that is shown": Parser(nats_url.redacted, ("nats://u:p@h:4222,tls://t@[::1]:1",)),
    "address to listen on": Parser(bind_address.parse, ("127.0.0.1:9101", "[::1]:1"), (ValueError,)),
    "origins": Parser(origins.origins, ("https://*.example.com,http://[::1]:8000",), (ValueError,)),
    "hosts": Parser(origins.hosts, ("app.example.com,*.example.org,[::1]",), (ValueError,)),
    "X-Forwarded-For": Parser(
        lambda text: [node(hop.client) for hop in x_forwarded([text], [], [])], ("1.2.3.4, [::1]:7",)
    ),
    "Forwarded": Parser(
        lambda text: [node(hop.client) for hop in forwarded([text])], ('for="[::1]:7";proto=https, for=a',)
    ),
    "trusted proxies": Parser(networks, ("127.0.0.1,10.0.0.0/8,fd00::/8",), (ValueError,)),
    "seed": Parser(NKey.of_seed, ("SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM",), (ValueError,)),
    "traceparent": Parser(traces.read, ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",)),
}


@st.composite
def near(draw: st.DrawFn, examples: tuple[str, ...]) -> str:
    """Anything, or one of the examples with something else in place of a part of it."""
    example = draw(st.sampled_from(examples))
    begin = draw(st.integers(0, len(example)))
    end = draw(st.integers(begin, len(example)) | st.just(begin))
    other = draw(
        st.text(max_size=6) | st.sampled_from(["null", "{}", "[]", '"', "-1", "1e999", "9" * 400, "\0", "%", "é"])
    )
    return draw(st.sampled_from([example[:begin] + other + example[end:], other]) | st.text())


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_or_raises_what_it_promises(name: str) -> None:
    parser = PARSERS[name]

    @settings(
        max_examples=int(EXAMPLES or 40),
        derandomize=EXAMPLES is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(near(parser.examples))
    def survives(text: str) -> None:
        with suppress(*parser.raises):
            parser.call(text)

    survives()


@pytest.mark.parametrize("name", PARSERS)
def test_the_examples_are_good(name: str) -> None:
    """Or the others would be far from what is taken."""
    for example in PARSERS[name].examples:
        assert PARSERS[name].call(example)
