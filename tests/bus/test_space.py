"""What a process knows of the room in the stream: how often it asks, and what it does without an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bus import StreamFull
from bus.space import FOR_NEW_JOBS, Space

MOST = 1000


class Answering:
    """JetStream, as far as `Space` asks it."""

    def __init__(self, used: int = 0, *, silent: bool = False, **config: Any) -> None:
        self.asked = 0
        self.used = used
        self._silent = silent
        self._config = {"max_bytes": MOST, **config}

    async def info(self) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(60 if self._silent else 0)
        state = {"first_seq": 1, "last_seq": 1, "bytes": self.used, "messages": 1}
        return {"state": state, "config": self._config}


def space(jetstream: Answering) -> Space:
    return Space(jetstream)  # type: ignore[arg-type]


async def test_what_is_accepted_counts_until_it_is_asked_again() -> None:
    jetstream = Answering()
    room = space(jetstream)
    for _ in range(9):
        await room.require(int(MOST * FOR_NEW_JOBS / 9))
    assert jetstream.asked == 1
    with pytest.raises(StreamFull):
        await room.require(1)


async def test_before_it_refuses_it_looks_whether_there_is_room_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.space.KNOWN_AT_LEAST", 0)
    jetstream = Answering(used=MOST)
    room = space(jetstream)
    with pytest.raises(StreamFull, match="100% of the stream EVENTS is in use"):
        await room.require(1)
    jetstream.used = 0
    await room.require(1)


@pytest.mark.parametrize(
    ("jetstream", "raised"),
    [(Answering(used=MOST), "BUS_STREAM_MAX_BYTES"), (Answering(used=MOST // 2, max_msgs=1), "max_msgs of the stream")],
)
async def test_the_limit_that_is_reached_is_named(jetstream: Answering, raised: str) -> None:
    with pytest.raises(StreamFull, match=f"or raise {raised}"):
        await space(jetstream).require(1)


@pytest.mark.parametrize("edit", ["deny_purge", "allow_msg_schedules"])
async def test_where_nats_itself_cuts_there_is_always_room(edit: str) -> None:
    await space(Answering(used=MOST, **{edit: True})).require(1)


async def test_many_who_submit_while_nats_is_silent_wait_for_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.space.LOOK_TIMEOUT", 0.01)
    jetstream = Answering(silent=True)
    room = space(jetstream)
    await asyncio.gather(*(room.require(1) for _ in range(50)))
    assert jetstream.asked == 1
