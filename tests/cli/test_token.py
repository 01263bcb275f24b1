"""busctl token: it prints a token and nothing else, which the settings that it was minted with take."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

import jwt
import pytest

from bus import Settings
from cli.data_dir import AUTH_SECRET, secret
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from tests.cli.command import busctl
from tests.tokens import SHARED

ENV = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SHARED}


def minted(*arguments: str, **env: str) -> str:
    printed = busctl("token", *arguments, **env)
    assert (printed.returncode, printed.stderr) == (0, "")
    given, end, rest = printed.stdout.partition("\n")
    assert (end, rest) == ("\n", "")
    return given


def identity(given: str, **env: str) -> Identity:
    fields = {name.removeprefix("BUS_").lower(): value for name, value in env.items()}
    return asyncio.run(Authenticator(Settings.load(**fields)).identify(given))


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"BUS_AUTH_ISSUER": "https://id.example.com/", "BUS_AUTH_AUDIENCE": "busctl"},
        {"BUS_AUTH_GROUPS_CLAIM": "realm_access.roles", "BUS_AUTH_OPERATOR_CLAIM": "realm_access.roles"},
        {"BUS_AUTH_GROUPS_CLAIM": "https://example.com/groups", "BUS_AUTH_OPERATOR_CLAIM": "a.b"},
    ],
)
def test_the_settings_that_it_was_minted_with_take_it(env: dict[str, str]) -> None:
    env = ENV | env
    given = minted("--sub", "auth0|ålice", "--group", "admins", "--group", "eu", "--role", "operator", **env)
    who = identity(given, **env)
    assert (who.user, who.groups[:2], who.operator) == ("auth0|ålice", ("admins", "eu"), True)
    plain = identity(minted("--sub", "bob", "--expires", "1h30m", **env), **env)
    assert (plain.user, plain.groups, plain.operator) == ("bob", (), False)
    assert plain.expires_at == pytest.approx(time.time() + 5400, abs=60)


def test_claims_that_one_token_cannot_have_are_refused_in_one_line() -> None:
    overlapping = {"BUS_AUTH_GROUPS_CLAIM": "realm", "BUS_AUTH_OPERATOR_CLAIM": "realm.roles"}
    refused = busctl("token", "--sub", "alice", "--group", "admins", "--role", "operator", **ENV, **overlapping)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "BUS_AUTH_OPERATOR_CLAIM: must neither lie within BUS_AUTH_GROUPS_CLAIM nor hold it" in refused.stderr


def test_a_busctl_dev_that_asks_for_tokens_has_a_secret_of_its_own(tmp_path: Path) -> None:
    made = secret(tmp_path, AUTH_SECRET)
    assert stat.S_IMODE((tmp_path / AUTH_SECRET).stat().st_mode) == 0o600
    given = minted("--sub", "alice", "--data-dir", str(tmp_path))
    assert jwt.decode(given, made, algorithms=["HS256"])["sub"] == "alice"


def test_without_a_secret_it_says_where_one_may_come_from(tmp_path: Path) -> None:
    failed = busctl("token", "--sub", "alice", "--data-dir", str(tmp_path))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "there is no secret to sign with: set BUS_AUTH=jwt and BUS_AUTH_SECRET" in failed.stderr
    (tmp_path / AUTH_SECRET).mkdir()
    failed = busctl("token", "--sub", "alice", "--data-dir", str(tmp_path))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Is a directory" in failed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--sub", ""],
        ["--sub", "alice", "--expires", "3600"],
        ["--sub", "alice", "--expires", "0s"],
        ["--sub", "alice", "--expires", "367d"],
        ["--sub", "alice", "--group", "a.b"],
        ["--sub", "alice", "--role", " "],
        ["--sub", "alice", "--data-dir", ""],
    ],
)
def test_what_cannot_be_minted_is_wrong_usage(arguments: list[str]) -> None:
    refused = busctl("token", *arguments, **ENV)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert SHARED not in refused.stderr
