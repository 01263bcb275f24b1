"""Which position a record has as its id, so that whoever is lost behind it goes on there."""

from __future__ import annotations

from typing import Any

from werkzeug.datastructures import Headers

from bus.messages import JobProgress, SystemNotification, Welcome, WelcomePayload
from quart_app.http.event_socket import EventSocket
from quart_app.websocket.session import Session

EPOCH = "2026-01-01T00:00:00Z"


async def ids(asked: dict[str, int], session: Session, replayed: int, *events: str) -> list[str]:
    """Of the welcome, with cursors at 10, and of each event."""
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b"").decode())

    socket = EventSocket({"type": "http"}, Headers(), asked, session)
    await socket.open(send, [])
    welcome = WelcomePayload(
        client_id="ann",
        resume="token",
        epoch=EPOCH,
        recovered=True,
        replayed=replayed,
        cursors={"client": 10, "system": 10},
    )
    for text in (Welcome(payload=welcome).encode(), *events):
        await socket.send(text)
    found = [[line for line in record.split("\n") if line.startswith("id: ")] for record in sent[1:]]
    return [lines[0].removeprefix("id: ").removesuffix(f"@{EPOCH}") if lines else "" for lines in found]


def event(seq: int, group: str | None = None) -> str:
    return SystemNotification(payload="hi").encode(seq=seq, group=group)


async def test_who_missed_nothing_stands_at_the_end_and_progress_moves_nobody() -> None:
    told = await ids(
        {"client": 10}, Session("ann"), 0, JobProgress(payload=0.5).encode(), event(12, "system"), event(11)
    )
    assert told == ["client:10,system:10", "", "client:10,system:12", "client:11,system:12"]


async def test_who_is_lost_in_the_middle_of_a_replay_gets_the_rest_of_it() -> None:
    told = await ids({"client": 3, "system": 4}, Session("ann", EPOCH, known=True), 2, event(5), event(7, "system"))
    assert told == ["client:3,system:4", "client:5,system:4", "client:10,system:10"]


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning() -> None:
    told = await ids({"client": 99}, Session("ann", "before", known=True), 2, event(5), event(6))
    assert told == ["client:0,system:10", "client:5,system:10", "client:10,system:10"]


async def test_nobody_stands_behind_the_end() -> None:
    assert await ids({"client": 99}, Session("ann"), 0) == ["client:10,system:10"]
