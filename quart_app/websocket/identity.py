"""Who a client of bus.v1 is: resume tokens and identity tokens, JWTs (RFC 7519) signed with `BUS_SECRET`."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self, TypeVar

import jwt
import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bus import Settings, StreamState, subjects
from bus.messages import Connect, Cursor
from bus.tracebacks import described
from quart_app.errors import InvalidToken, Unauthorized

log = structlog.get_logger(__name__)

ALGORITHM = "HS256"
LONGEST_TOKEN = 4096
"""Characters; no token of ours has as many."""
LATEST = 2**53
"""An expiry that every reader of JSON takes for the number it is; some 285 million years off."""
LEEWAY = 30
"""Seconds that the clocks of two web processes may differ."""


def _client_id(value: str) -> str:
    if value == subjects.SCHEDULES_CLIENT:
        raise ValueError("this client id is kept for the jobs of schedules")
    return subjects.token("client id", value)


ClientId = Annotated[str, AfterValidator(_client_id)]
Moment = Annotated[int, Field(ge=0, lt=2**63)]
"""Seconds since 1970, as in the claims of a JWT."""


class Claims(BaseModel):
    """What every token says. Claims that this version does not know may be there too."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    sub: ClientId
    exp: Moment
    nbf: Moment = 0
    iat: Moment = 0


class IdentityClaims(Claims):
    """Its bearer is this client."""

    aud: Literal["token"]


class ResumeClaims(Claims):
    """Its bearer was welcomed as this client."""

    aud: Literal["resume"]
    epoch: Annotated[str, Field(max_length=64)]
    born: Cursor


C = TypeVar("C", bound=Claims)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is.

    Args:
        client_id: its id.
        epoch: the stream's epoch at its first welcome; empty for a client that was never welcomed.
        born: the stream's last sequence when the client was made: it has no event up to there.
        known: whether it proved to be the client it was.
        lost: whether it claimed to be somebody and could not prove it, so that its history is out of reach.
        fresh: whether its id was made up just now, so that it has no history.
    """

    client_id: str
    epoch: str = ""
    born: int = 0
    known: bool = False
    lost: bool = False
    fresh: bool = False

    def at(self, state: StreamState) -> Self:
        """The client once it is welcomed to the stream of this `state`."""
        return self if self.epoch == state.epoch else replace(self, epoch=state.epoch, born=state.last_seq)


class Sessions:
    """Signs and checks tokens.

    Args:
        settings: `secret` and `resume_max_age`.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_age = settings.resume_max_age
        self._own_secret = settings.secret is None
        self._jws = jwt.PyJWS()
        if settings.secret is None:
            self._key = secrets.token_hex(32)
        else:
            self._key = settings.secret.get_secret_value()

    def warn_if_own_secret(self) -> None:
        """Say in the log when no other process, and not this one's successor either, can check these tokens."""
        if self._own_secret:
            log.warning("BUS_SECRET is not set: clients can resume at this process only, until it ends")

    def identify(self, connect: Connect) -> Identity:
        """Who sends this frame: the client its tokens name, else a new one.

        Raises:
            Unauthorized: a `token` was given and is not valid.
        """
        asked = connect.payload
        resumed = self._read(asked.resume, ResumeClaims) if asked.resume is not None else None
        lost = asked.resume is not None and resumed is None
        client_id = secrets.token_urlsafe(16)
        if asked.token is not None:
            named = self._read(asked.token, IdentityClaims)
            if named is None:
                raise Unauthorized
            client_id = named.sub
            if resumed is not None and resumed.sub != client_id:
                resumed, lost = None, True
        if resumed is None:
            return Identity(client_id, lost=lost, fresh=asked.token is None)
        return Identity(resumed.sub, resumed.epoch, resumed.born, known=True)

    def resume_token(self, identity: Identity, state: StreamState) -> str:
        """A token by which the client can come back to the stream of this `state`."""
        return self.renewed(identity.at(state))

    def renewed(self, identity: Identity) -> str:
        """A token, good for `resume_max_age` from now, of a client that was welcomed before."""
        claims = ResumeClaims(
            aud="resume", sub=identity.client_id, exp=self._expiry(), epoch=identity.epoch, born=identity.born
        )
        return self._sign(claims)

    def _expiry(self) -> int:
        return int(min(time.time() + self._max_age, LATEST))

    def _sign(self, claims: Claims) -> str:
        return self._jws.encode(claims.model_dump_json(exclude_defaults=True).encode(), self._key, algorithm=ALGORITHM)

    def _read(self, token: str, kind: type[C]) -> C | None:
        try:
            return self._verified(token, kind)
        except (InvalidToken, jwt.InvalidTokenError, ValidationError) as error:
            reason = str(error) if isinstance(error, InvalidToken) else described(error)
            log.info("a token is not valid", kind=kind.__name__, reason=reason)
            return None

    def _verified(self, token: str, kind: type[C]) -> C:
        """The claims of a token.

        Raises:
            InvalidToken, jwt.InvalidTokenError: it is none, another one signed it, or it is not valid now.
            ValidationError: its claims are not those of this kind.
        """
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise InvalidToken("it is no JWT of at most 4,096 characters")
        # Only the signature: PyJWT's own check of claims fails with a TypeError or an OverflowError on odd ones.
        claims = kind.model_validate_json(self._jws.decode(token, self._key, algorithms=[ALGORITHM]))
        now = time.time()
        if claims.exp <= now:
            raise InvalidToken("it has expired")
        if max(claims.nbf, claims.iat) > now + LEEWAY:
            raise InvalidToken("it is not good yet; do the clocks agree?")
        return claims
