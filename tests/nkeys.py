"""NKeys, and what is signed with them, as `nk` and `nsc` make them."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


class Key:
    """A new key of this kind."""

    def __init__(self, kind: int) -> None:
        raw = os.urandom(32)
        self._private = Ed25519PrivateKey.from_private_bytes(raw)
        self.seed = _text(bytes([SEED | kind >> 5, (kind & 31) << 3]) + raw)
        self.public = _text(bytes([kind]) + self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def jwt(self, subject: str, name: str, nats: dict[str, Any]) -> str:
        """A token about somebody, signed with this key."""
        claims = {"jti": "x", "iat": 1, "iss": self.public, "sub": subject, "name": name, "nats": nats | {"version": 2}}
        signed = ".".join(_url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
        return f"{signed}.{_url(self._private.sign(signed.encode()))}"


def operator_mode(credentials: Path, name: str, allowed: dict[str, list[str]]) -> str:
    """The configuration of a server that knows users by JWT, one of whom has these credentials."""
    operator, account, user = Key(OPERATOR), Key(ACCOUNT), Key(USER)
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
    granted = {verb: {"allow": subjects} for verb, subjects in allowed.items()}
    granted |= dict.fromkeys(("subs", "data", "payload"), -1)  # type: ignore[arg-type]
    jwt = account.jwt(user.public, name, {**granted, "type": "user"})
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n************ IMPORTANT ************\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    of_account = operator.jwt(account.public, "system", {"limits": limits, "type": "account"})
    of_operator = operator.jwt(operator.public, "us", {"type": "operator"})
    return f"operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {account.public}: {of_account} }}\n"


def _text(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
