"""`busctl token`: mint an identity token, for trying and for programs of one's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import jwt
import typer

from bus import Settings, durations
from bus.identity_settings import claim_names
from cli.data_dir import auth_secret
from cli.errors import CommandFailed
from cli.names import name
from cli.options import NoColor, directory

LONGEST = 366 * 86_400
"""Seconds; a token cannot be called back."""


def _seconds(value: str) -> str:
    try:
        lasts = durations.read(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} {error}") from None
    if not 1 <= lasts <= LONGEST:
        raise typer.BadParameter(f"{value!r} is not between 1s and 366d")
    return value


def _some(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise typer.BadParameter("it must not be empty")
    return value


def _groups(values: list[str] | None) -> list[str]:
    check = name("group")
    return [group for group in map(check, values or []) if group is not None]


Sub = Annotated[
    str, typer.Option("--sub", metavar="NAME", callback=_some, help="Who the token names, in any characters.")
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group", metavar="GROUP", callback=_groups, help="A group that it lists; may be given several times."
    ),
]
Role = Annotated[str | None, typer.Option("--role", metavar="ROLE", callback=_some, help="A role, such as operator.")]
Expires = Annotated[
    str,
    typer.Option("--expires", metavar="DURATION", callback=_seconds, help="For how long it is good: 90s, 15m, 1h, 7d."),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        parser=directory,
        help="That of busctl dev, whose secret signs when BUS_AUTH_SECRET is not set.",
    ),
]


def token(
    sub: Sub,
    group: Group = None,
    role: Role = None,
    expires: Expires = "1h",
    data_dir: DataDir = Path(".busctl"),
    no_color: NoColor = False,
) -> None:
    """Mint an identity token and print it, alone, on standard output.

    It is signed with BUS_AUTH_SECRET, or with the secret of 'BUS_AUTH=jwt busctl dev'. Whoever has it is that user
    until it expires: it cannot be called back.

    Example: busctl token --sub alice --group admins --role operator --expires 1h
    """
    settings = Settings.load()
    given = settings.auth_secret
    secret = given.get_secret_value() if given is not None else auth_secret(data_dir)
    if secret is None:
        raise CommandFailed(
            "there is no secret to sign with: set BUS_AUTH=jwt and BUS_AUTH_SECRET, or name the --data-dir of a "
            "'BUS_AUTH=jwt busctl dev'. Tokens for BUS_AUTH_JWKS come from your identity provider"
        )
    claims = _claims(settings, sub, group or [], role, durations.read(expires))
    typer.echo(jwt.encode(claims, secret, algorithm="HS256"))


def _claims(settings: Settings, sub: str, groups: list[str], role: str | None, lasts: float) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {"sub": sub, "iat": now, "exp": now + int(lasts)}
    if settings.auth_issuer is not None:
        claims["iss"] = settings.auth_issuer
    if settings.auth_audience is not None:
        claims["aud"] = settings.auth_audience
    if groups:
        _list(claims, settings.auth_groups_claim, groups)
    if role is not None:
        _list(claims, settings.auth_operator_claim, [role])
    return claims


def _list(claims: dict[str, Any], path: str, values: list[str]) -> None:
    """Add to the list that is the claim of this name; dots lead into objects, unless it is a URL."""
    *inside, last = claim_names(path)
    for key in inside:
        claims = claims.setdefault(key, {})
    claims[last] = [*claims.get(last, []), *values]
