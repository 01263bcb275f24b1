"""Content that NATS does not take is its sender's error, and nobody else notices."""

from __future__ import annotations

from pathlib import Path

from bus import Bus, Settings, SystemNotification
from testbed.servers import Nats
from testbed.system import System
from tests.cli.command import busctl
from tests.clients import client

LIMIT = 4096


async def test_content_near_the_limit_of_nats_is_stored_or_refused_with_the_limit(tmp_path: Path) -> None:
    config = tmp_path / "small.conf"
    config.write_text(f"max_payload: {LIMIT}\n")
    system = System(tmp_path)
    system.nats = Nats(tmp_path, "-c", str(config))
    try:
        system.start()
        web = system.web()
        async with client(web.ws_url) as sender, client(web.ws_url) as other:
            await sender.ping()
            await other.ping()
            made = system.nats.monitored("varz")["total_connections"]
            outcomes = {}
            for length in (1500, *range(1800, 2110, 10), 3000, 5000, 60_000):
                await sender.submit("default", "x" * length, ref=str(length))
                answer = await sender.receive()
                assert answer["ref"] == str(length)
                outcomes[length] = answer["action"]
                if answer["action"] == "error":
                    [problem] = answer["payload"]
                    assert problem["type"] == "too_large"
                    assert f"at most {LIMIT}" in problem["msg"]
            assert outcomes[1500] == "job_queued"
            assert outcomes[2000] == "error"
            assert [outcomes[length] for length in sorted(outcomes)] == sorted(outcomes.values(), reverse=True)
            await sender.submit("default", "\x01" * 700)
            assert (await sender.receive())["payload"][0]["type"] == "too_large"
            assert system.nats.monitored("varz")["total_connections"] == made
            async with Bus(Settings.load(nats_url=system.nats.url)) as bus:
                await bus.broadcast_event(SystemNotification(payload="still here"))
            assert (await other.receive())["payload"] == "still here"
        refused = busctl("submit", "default", "x" * 2000, **system.env)
        assert refused.returncode == 1
        assert f"at most {LIMIT}" in refused.stderr
    finally:
        system.stop()
