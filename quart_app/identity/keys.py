"""Keys that tokens are verified with. The key says which algorithms it may be used with; what a token says is compared.

    of_pem(text)     # every public key or certificate of a PEM file
    of_jwks(data)    # every usable public key of a JSON Web Key Set (RFC 7517)
    of_secret(text)  # a shared secret

So a public key is never taken for a secret (algorithm confusion), and `none` fits to no key at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from pydantic_core import from_json

from quart_app.errors import BadKeys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

SHORTEST_RSA = 2048
"""Bits, as RFC 7518 section 3.3 asks for."""
MOST_KEYS = 100
"""Keys of one set; an identity provider has a handful."""

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""How long a secret has to be for each algorithm: RFC 7518 section 3.2."""
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDWARDS = frozenset({"EdDSA"})
OF_PUBLIC_KEYS = _RSA.union(_CURVES.values(), _EDWARDS)
"""The algorithms that need public keys."""
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_FROM_JWK: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Args:
        material: a secret's bytes, or a public key.
        algorithms: those that it may be used with.
        key_id: by which tokens name it (`kid`); None for a key that any token may be signed with.
    """

    material: PublicKey | bytes
    algorithms: frozenset[str]
    key_id: str | None = None

    def fits(self, algorithm: str, key_id: str | None) -> bool:
        """Whether a token that names these may have been signed with it."""
        return algorithm in self.algorithms and (key_id is None or self.key_id is None or self.key_id == key_id)


def of_secret(secret: str) -> Key:
    """The key that a shared secret is."""
    material = secret.encode()
    return Key(material, frozenset(name for name, least in SECRET_BYTES.items() if len(material) >= least))


def of_pem(text: str) -> list[Key]:
    """The public keys and certificates of a PEM file.

    Raises:
        BadKeys: there are none, or one cannot be used.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    found: list[Key] = []
    for block in _PEM.finditer(text):
        kind, pem = block[1], block[0].encode()
        if kind.endswith("PRIVATE KEY"):
            raise BadKeys("there is a private key; a web process needs the public one: see 'openssl pkey -pubout'")
        try:
            material: Any = (
                load_pem_x509_certificate(pem).public_key() if kind == "CERTIFICATE" else load_pem_public_key(pem)
            )
        except Exception as error:  # cryptography raises of many kinds, and its texts are about ASN.1
            raise BadKeys(f"the {kind.lower()} number {len(found) + 1} cannot be read") from error
        found.append(Key(material, algorithms_of(material)))
    if not found:
        raise BadKeys("there is no public key or certificate in PEM (-----BEGIN PUBLIC KEY-----)")
    return found


def of_jwks(data: bytes) -> list[Key]:
    """The public keys of a JSON Web Key Set that signatures can be verified with; others are passed over.

    Raises:
        BadKeys: it is no such set, or no key of it can be used.
    """
    try:
        entries = from_json(data)["keys"]
    except (ValueError, TypeError, KeyError):
        raise BadKeys('it is no JSON Web Key Set: {"keys": [...]}') from None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise BadKeys(f"its keys are no list of at most {MOST_KEYS}")
    found = [key for entry in entries if isinstance(entry, dict) and (key := _of_jwk(entry)) is not None]
    if not found:
        raise BadKeys("it has no public key that can be used: RSA of 2048 bits, P-256, P-384, P-521, Ed25519, Ed448")
    return found


def _of_jwk(entry: Mapping[str, Any]) -> Key | None:
    kind, key_id, operations = entry.get("kty"), entry.get("kid"), entry.get("key_ops", ["verify"])
    for_signatures = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    # A secret, or a private key, in a set that is for everybody to read is nobody's any more.
    if not for_signatures or not isinstance(kind, str) or kind not in _FROM_JWK or "d" in entry:
        return None
    if not isinstance(key_id, str | None):
        return None
    try:
        material: Any = _FROM_JWK[kind].from_jwk(dict(entry))
        algorithms = algorithms_of(material)
    except (PyJWTError, BadKeys, ValueError, TypeError, KeyError, AttributeError):
        return None
    if "alg" in entry:
        algorithms &= {str(entry["alg"])}
    return Key(material, algorithms, key_id) if algorithms else None


def algorithms_of(material: PublicKey) -> frozenset[str]:
    """With which algorithms a public key may be used.

    Raises:
        BadKeys: with none.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    match material:
        case rsa.RSAPublicKey():
            if material.key_size < SHORTEST_RSA:
                raise BadKeys(f"an RSA key has {material.key_size} bits, and {SHORTEST_RSA} are needed")
            return _RSA
        case ec.EllipticCurvePublicKey() if material.curve.name in _CURVES:
            return frozenset({_CURVES[material.curve.name]})
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return _EDWARDS
    raise BadKeys("there is a key of another kind than RSA, P-256, P-384, P-521, Ed25519 and Ed448")
