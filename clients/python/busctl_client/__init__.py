"""busctl_client: hand slow work to a busctl server, see the answer live, once, whatever happens to the connection.

async with connect("http://127.0.0.1:8000") as client:
    job = client.submit("generate", "what about the weather")
    async for piece in job.output:
        print(piece, end="", flush=True)
    print(await job.result())
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from busctl_client.address import websocket_url
from busctl_client.client import Client
from busctl_client.errors import (
    BusctlError,
    ClientClosed,
    ConnectionClosed,
    ConnectionFailed,
    ErrorItem,
    EventsDropped,
    JobCancelled,
    JobFailed,
    JobLost,
    Refused,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from busctl_client.events import Event, JobState, Level, Notification, Phase, State, Welcome
from busctl_client.job import Job
from busctl_client.jobs import Jobs
from busctl_client.limits import Limits, Timings
from busctl_client.listeners import Events
from busctl_client.output import Output, Piece
from busctl_client.session import Session
from busctl_client.tokens import Token
from busctl_client.visit import Address

__all__ = [
    "BusctlError",
    "Client",
    "ClientClosed",
    "ConnectionClosed",
    "ConnectionFailed",
    "ErrorItem",
    "Event",
    "Events",
    "EventsDropped",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobLost",
    "JobState",
    "Jobs",
    "Level",
    "Limits",
    "Notification",
    "Output",
    "Phase",
    "Piece",
    "Refused",
    "State",
    "Timings",
    "Token",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Welcome",
    "connect",
]


def connect(
    url: str,
    *,
    token: Token | None = None,
    cursors: Mapping[str, int] | None = None,
    saved: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    within: float = 30.0,
    timings: Timings | None = None,
    limits: Limits | None = None,
) -> Client:
    """A client that keeps itself connected: `async with connect(url) as client`, or `client = await connect(url)`.

    Once connected it comes back by itself, however often the connection is lost, until it is closed, or the server
    says that coming back cannot help.

    Args:
        url: `http:`, `https:`, `ws:` or `wss:`; without a path, that is `/ws/system`.
        token: who this is, where the server asks (`BUS_AUTH=jwt`): a token, or a function or coroutine function that
            gives one that is valid. It is asked for each connection, and again before a token expires.
        cursors: where a new client begins: by scope (`client`, or a group's name) the last sequence that it does not
            need. By default `{"client": 0}`: every event of its own that is kept, and of groups what comes from now on.
        saved: what `Client.saved()` of an earlier process said: be that client again.
        headers: to send beside those of the handshake, for a proxy in front.
        tls: how to verify the server, for `https:` and `wss:`.
        within: seconds in which there has to be a first connection.
        timings: deadlines and pauses.
        limits: bounds of what is kept and sent.

    Raises:
        ValueError: `url` is no address, or `saved` is not what it should be.
    """
    return Client(
        Address(websocket_url(url), headers or {}, tls),
        token=token,
        session=Session(saved, cursors),
        timings=timings or Timings(),
        limits=limits or Limits(),
        within=within,
    )
