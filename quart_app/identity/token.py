"""Token: what a JWT (RFC 7519) says, once it is known that somebody who may has signed it, and that it is good now.

Every refusal has a reason in words of ours, which clients are told: none repeats anything of the token.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jwt
from pydantic_core import from_json

from quart_app.errors import Unauthorized
from quart_app.identity.keys import Key

LONGEST = 16 * 1024
"""Characters of a token; those of Entra ID with many groups have half of that."""
LEEWAY = 30
"""Seconds that the clocks of an identity provider and of this process may differ."""

Claims = Mapping[str, Any]

_JWS = jwt.PyJWS(options={"enforce_minimum_key_length": True})
_UNREADABLE = "the token is no signed JWT"


def header_of(token: str) -> tuple[str, str | None]:
    """With which algorithm and which key a token says that it is signed. Nothing of that is proved.

    Raises:
        Unauthorized: it is no signed JWT.
    """
    if len(token) > LONGEST or not token.isascii():
        raise Unauthorized(_UNREADABLE)
    try:
        header = _JWS.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthorized(_UNREADABLE) from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise Unauthorized(_UNREADABLE)
    return algorithm, key_id


def claims_of(token: str, candidates: Iterable[Key]) -> Claims:
    """What a token says, signed with one of these keys. It may be of another time, and for somebody else.

    Raises:
        Unauthorized: with none of them, or what it says is no JSON object.
    """
    for key in candidates:
        try:
            payload = _JWS.decode(token, key.material, algorithms=sorted(key.algorithms))
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthorized(_UNREADABLE) from None
        try:
            claims = from_json(payload, allow_inf_nan=False)
        except ValueError:
            raise Unauthorized(_UNREADABLE) from None
        if not isinstance(claims, dict):
            raise Unauthorized(_UNREADABLE)
        return claims
    raise Unauthorized("the token's signature is not valid")


def check(claims: Claims, *, issuer: str | None, audience: str | None) -> None:
    """Look whether a token is good now, and meant for here.

    Args:
        issuer: what `iss` has to be; None for anything.
        audience: what `aud` has to be or to have. With None there must be no `aud`, as RFC 7519 section 4.1.3 has it.

    Raises:
        Unauthorized: it is not.
    """
    now = time.time()
    if expiry(claims) + LEEWAY <= now:
        raise Unauthorized("the token has expired")
    if any(_moment(claims, name) > now + LEEWAY for name in ("nbf", "iat") if name in claims):
        raise Unauthorized("the token is not good yet; do the clocks agree?")
    if issuer is not None and claims.get("iss") != issuer:
        raise Unauthorized("the token is of another issuer than BUS_AUTH_ISSUER")
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [] if given is None else [given]
    if audience is None and audiences:
        raise Unauthorized("the token is for an audience, and BUS_AUTH_AUDIENCE is not set")
    if audience is not None and audience not in audiences:
        raise Unauthorized("the token is for another audience than BUS_AUTH_AUDIENCE")


def expiry(claims: Claims) -> float:
    """Until when a token is good, in seconds since 1970.

    Raises:
        Unauthorized: it does not say.
    """
    if "exp" not in claims:
        raise Unauthorized("the token has no exp: it would be good for ever")
    return _moment(claims, "exp")


def _moment(claims: Claims, name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized(f"the token's {name} is no number")
    try:
        moment = float(value)
    except OverflowError:
        moment = math.inf
    if not math.isfinite(moment):
        raise Unauthorized(f"the token's {name} is no time")
    return moment
