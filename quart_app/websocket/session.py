"""A client over its connections: resume tokens, JWTs (RFC 7519) signed with `BUS_SECRET`.

A resume token says that its bearer was welcomed as a client before, and what that client can have seen. Where clients
have an identity (`BUS_AUTH=jwt`) it never says who they are: it counts for nothing with another one's.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import jwt
import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bus import Settings, StreamState, client_ids, subjects
from bus.messages import Cursor
from bus.tracebacks import described
from quart_app.errors import InvalidToken
from quart_app.identity.identity import Identity

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


class ResumeClaims(BaseModel):
    """What a resume token says. Claims that this version does not know may be there too."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    aud: Literal["resume"]
    sub: ClientId
    exp: Moment
    nbf: Moment = 0
    iat: Moment = 0
    epoch: Annotated[str, Field(max_length=64)]
    born: Cursor


@dataclass(frozen=True, slots=True)
class Session:
    """A client, and what is known of its past.

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
    """Signs and checks resume tokens.

    Args:
        settings: `secret`, `secret_previous` and `resume_max_age`.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_age = settings.resume_max_age
        self._own_secret = settings.secret is None
        self._jws = jwt.PyJWS()
        given = [one.get_secret_value() for one in (settings.secret, settings.secret_previous) if one is not None]
        self._keys = given or [secrets.token_hex(32)]

    def warn_if_own_secret(self) -> None:
        """Say in the log when no other process, and not this one's successor either, can check these tokens."""
        if self._own_secret:
            log.warning("BUS_SECRET is not set: clients can resume at this process only, until it ends")

    def session(self, identity: Identity, resume: str | None) -> Session:
        """Which client comes: a user's, else the one that its resume token names, else a new one.

        Args:
            identity: who it proved to be.
            resume: the resume token that it brings.
        """
        resumed = self._read(resume) if resume is not None else None
        if resumed is not None and not _belongs(resumed, identity):
            log.info("a token is not valid", kind="resume", reason="it is another client's")
            resumed = None
        if resumed is not None:
            return Session(resumed.sub, resumed.epoch, resumed.born, known=True)
        lost = resume is not None
        if identity.user is not None:
            return Session(identity.client_id, lost=lost)
        return Session(identity.client_id, lost=lost, fresh=True)

    def resume_token(self, session: Session, state: StreamState) -> str:
        """A token by which the client can come back to the stream of this `state`."""
        return self.renewed(session.at(state))

    def renewed(self, session: Session) -> str:
        """A token, good for `resume_max_age` from now, of a client that was welcomed before."""
        claims = ResumeClaims(
            aud="resume", sub=session.client_id, exp=self._expiry(), epoch=session.epoch, born=session.born
        )
        payload = claims.model_dump_json(exclude_defaults=True).encode()
        return self._jws.encode(payload, self._keys[0], algorithm=ALGORITHM)

    def _expiry(self) -> int:
        return int(min(time.time() + self._max_age, LATEST))

    def _read(self, token: str) -> ResumeClaims | None:
        try:
            return self._verified(token)
        except (InvalidToken, jwt.InvalidTokenError, ValidationError, RecursionError) as error:
            reason = str(error) if isinstance(error, InvalidToken) else described(error)
            log.info("a token is not valid", kind="resume", reason=reason)
            return None

    def _verified(self, token: str) -> ResumeClaims:
        """The claims of a token.

        Raises:
            InvalidToken, jwt.InvalidTokenError: it is none, another one signed it, or it is not valid now.
            ValidationError: its claims are not those of a resume token.
        """
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise InvalidToken("it is no JWT of at most 4,096 characters")
        claims = ResumeClaims.model_validate_json(self._payload(token))
        now = time.time()
        if claims.exp <= now:
            raise InvalidToken("it has expired")
        if max(claims.nbf, claims.iat) > now + LEEWAY:
            raise InvalidToken("it is not good yet; do the clocks agree?")
        return claims

    def _payload(self, token: str) -> bytes:
        """What one of the secrets has signed: the newest first, which most tokens are signed with."""
        # Only the signature: PyJWT's own check of claims fails with a TypeError or an OverflowError on odd ones.
        for key in self._keys[:-1]:
            try:
                return self._signed(token, key)
            except jwt.InvalidSignatureError:
                continue
        return self._signed(token, self._keys[-1])

    def _signed(self, token: str, key: str) -> bytes:
        payload: bytes = self._jws.decode(token, key, algorithms=[ALGORITHM])
        return payload


def _belongs(resumed: ResumeClaims, identity: Identity) -> bool:
    """Whether a resume token may be used by who brings it: a user's own, or one of somebody who never was a user."""
    if identity.user is not None:
        return resumed.sub == identity.client_id
    return not client_ids.is_user(resumed.sub)
