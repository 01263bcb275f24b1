"""The data directory of `busctl dev`: private, and ours alone to tighten."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.data_dir import locked, secret


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("existed", [False, True])
def test_it_is_for_its_user_alone(tmp_path: Path, existed: bool) -> None:
    directory = tmp_path / "data"
    if existed:
        for path in (directory, directory / "nats", directory / "valkey"):
            path.mkdir()
            path.chmod(0o755)
        (directory / "secret").write_text("s" * 64)
        (directory / "lock").touch()
    with locked(directory):
        assert secret(directory) == secret(directory)
        assert {mode(path) for path in (directory, directory / "nats", directory / "valkey")} == {0o700}
        assert {mode(path) for path in (directory / "secret", directory / "lock")} == {0o600}
    assert mode(tmp_path) != 0o600


def test_a_directory_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letters.txt").touch(0o644)
    with locked(tmp_path):
        assert mode(tmp_path) == 0o755
        assert mode(tmp_path / "letters.txt") == 0o644
        assert {mode(tmp_path / name) for name in ("nats", "valkey")} == {0o700}


def test_a_secret_that_was_not_written_to_its_end_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    assert len(secret(tmp_path)) == 64
    assert secret(tmp_path) == (tmp_path / "secret").read_text()
