"""What is remembered of schedules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest

from bus import Bus, BusUnavailable, Settings, StreamConflict, schedules, subjects
from bus.schedules import Remembered
from tests.raw_jetstream import connected

SIX = datetime(2026, 12, 1, 6, tzinfo=UTC)
SEVEN = datetime(2026, 12, 1, 7, tzinfo=UTC)


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    """A bus on the shared server, which has no bucket of schedules before and after."""
    async with Bus(settings) as bus, connected(settings.nats_url) as raw:
        yield bus
        await raw.ask(f"STREAM.DELETE.{subjects.SCHEDULES}")


async def test_schedules_are_remembered_by_name_and_whoever_comes_second_is_told(bus: Bus) -> None:
    assert await schedules.read_all(bus) == []
    await schedules.declare(bus)
    await schedules.declare(bus)
    first = await schedules.remember(bus, Remembered(name="report", definition="every 1h", next=SIX))
    other = await schedules.remember(bus, Remembered(name="cleanup", definition="every 7h", last=SIX, next=SEVEN))
    assert first is not None
    assert await schedules.read_all(bus) == [other, first]
    later = await schedules.remember(bus, first.model_copy(update={"last": SIX, "next": SEVEN}))
    assert await schedules.remember(bus, first.model_copy(update={"gone": SEVEN})) is None
    assert await schedules.read_all(bus) == [other, later]


async def test_what_is_forgotten_or_written_by_another_program_is_not_told(bus: Bus) -> None:
    await schedules.declare(bus)
    await schedules.remember(bus, Remembered(name="report", definition="every 1h", next=SIX))
    await schedules.forget(bus, "report")
    await schedules.BUCKET.put(bus, subjects.schedule("foreign"), b"of another program")
    assert await schedules.read_all(bus) == []
    again = await schedules.remember(bus, Remembered(name="foreign", definition="every 1h", next=SIX))
    assert await schedules.read_all(bus) == [again]


async def test_a_bucket_of_that_name_that_is_another_programs_is_not_touched(bus: Bus, settings: Settings) -> None:
    async with connected(settings.nats_url) as raw:
        theirs = {"name": subjects.SCHEDULES, "subjects": ["theirs.>"]}
        before = (await raw.ask(f"STREAM.CREATE.{subjects.SCHEDULES}", theirs))["config"]
        for verb in (schedules.declare, schedules.read_all):
            with pytest.raises(StreamConflict, match="not this system's key-value bucket of schedules: subjects is"):
                await verb(bus)
        assert (await raw.ask(f"STREAM.INFO.{subjects.SCHEDULES}"))["config"] == before


@pytest.mark.parametrize("code", [10008, 10118])
async def test_what_cannot_be_read_now_is_not_taken_for_nothing(code: int) -> None:
    class Refusing:
        """NATS while the bucket gets another leader: what there is can be said, what it holds cannot."""

        connected = True
        settings = Settings()

        async def request(self, subject: str, data: bytes, **_: object) -> bytes:
            if subject == f"$JS.API.STREAM.INFO.{subjects.SCHEDULES}":
                has = {"subjects": {subjects.schedule("report"): 1}}
                return json.dumps({"config": schedules.BUCKET.essential, "created": "now", "state": has}).encode()
            return json.dumps({"error": {"code": 503, "err_code": code, "description": "not now"}}).encode()

    with pytest.raises(BusUnavailable, match="refused a read of the bucket KV_busctl-schedules: not now"):
        await schedules.read_all(cast(Bus, Refusing()))


def test_a_slot_has_one_job_id_whoever_makes_it() -> None:
    berlin = datetime.fromisoformat("2026-12-01T07:00:00+01:00")
    assert schedules.job_id("report", SIX) == schedules.job_id("report", berlin)
    assert len({schedules.job_id("report", SIX), schedules.job_id("report", SEVEN), schedules.job_id("x", SIX)}) == 3
