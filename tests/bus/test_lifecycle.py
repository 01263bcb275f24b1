"""How a bus begins, and who hears of gaps."""

from pathlib import Path

import pytest

from bus import Bus, BusUnavailable, Settings
from testbed.servers import Nats


async def test_nobody_there_is_said_within_the_deadline() -> None:
    with pytest.raises(BusUnavailable, match="NATS_URL"):
        await Bus(Settings.load(nats_url="nats://127.0.0.1:9", connect_timeout=0.3)).connect()


async def test_wrong_credentials_are_said(tmp_path: Path) -> None:
    server = Nats(tmp_path, "--user", "me", "--pass", "secret")
    server.start()
    try:
        with pytest.raises(BusUnavailable, match=r"[Aa]uthorization") as caught:
            await Bus(Settings.load(nats_url=server.url.replace("//", "//me:wrong@"), connect_timeout=3)).connect()
        assert "wrong" not in str(caught.value)
        async with Bus(Settings.load(nats_url=server.url.replace("//", "//me:secret@"))) as bus:
            await bus.ping()
    finally:
        server.stop()


async def test_everybody_who_asked_is_told_of_a_gap_until_they_withdraw(settings: Settings) -> None:
    told: list[str] = []

    def broken() -> None:
        told.append("broken")
        raise RuntimeError("a mistake of its own")

    def first() -> None:
        told.append("first")

    def second() -> None:
        told.append("second")
        bus.remove_gap_callback(second)

    async with Bus(settings) as bus:
        for callback in (broken, first, second):
            bus.add_gap_callback(callback)
        bus._connection.condition.on_gap()
        bus.remove_gap_callback(broken)
        bus.remove_gap_callback(broken)
        bus._connection.condition.on_gap()
    assert told == ["broken", "first", "second", "first"]
