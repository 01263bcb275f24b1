"""Identity tokens for tests: what signs them, and the public half of it."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from testbed.planted import PLANTED

SHARED = f"{PLANTED}-shared-{'s' * 64}"
"""A shared secret that is long enough for HS512."""
ISSUER, AUDIENCE = "https://id.example.com/", "busctl"


@functools.cache
def private_key(kind: str) -> Any:
    """A private key of this kind, always the same one."""
    match kind.partition("#")[0]:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "short RSA":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505
        case "P-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "secp256k1":
            return ec.generate_private_key(ec.SECP256K1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
    raise ValueError(kind)


def pem(kind: str) -> str:
    """Its public key."""
    public = private_key(kind).public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(kind: str, **members: Any) -> dict[str, Any]:
    """The same as a JSON Web Key."""
    algorithm: Any = RSAAlgorithm if "RSA" in kind else OKPAlgorithm if kind.startswith("Ed") else ECAlgorithm
    return json.loads(algorithm.to_jwk(private_key(kind).public_key())) | members


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    good = {"sub": "alice", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600}
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(key: Any = SHARED, algorithm: str = "HS256", *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token, signed. `key` is a secret, or a kind of key."""
    if algorithm[:2] != "HS":
        key = private_key(key)
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)
