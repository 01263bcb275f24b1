"""NKeys: the Ed25519 keys with which NATS users prove who they are, as text (NATS architecture, nkeys)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED, USER = 18 << 3, 20 << 3
"""What a seed, and a user's public key, begin with."""
SEED_LENGTH, KEY_LENGTH, CHECKSUM = 34, 32, 2


@dataclass(frozen=True, slots=True)
class NKey:
    """A user's key.

    Args:
        raw: the 32 bytes of its seed.
    """

    raw: bytes = field(repr=False)

    @classmethod
    def of_seed(cls, seed: str) -> NKey:
        """The key of a seed, which is text that begins with `SU`.

        Raises:
            ValueError: it is none; the message shows nothing of it.
        """
        try:
            data = base64.b32decode(seed + "=" * (-len(seed) % 8))
        except (binascii.Error, ValueError):
            data = b""
        body, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
        if len(body) != SEED_LENGTH or body[0] & 0xF8 != SEED or _checksum(body) != checksum:
            raise ValueError("no NKey seed, or one that is damaged")
        if (body[0] & 7) << 5 | body[1] >> 3 != USER:
            raise ValueError("the NKey seed of something else than a user; a user's begins with SU")
        return cls(body[2:])

    @property
    def public(self) -> str:
        """The public key as NATS knows the user by: text that begins with `U`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = self._private().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        body = bytes([USER]) + key
        return base64.b32encode(body + _checksum(body)).decode().rstrip("=")

    def sign(self, nonce: str) -> bytes:
        """What a server is shown: the signature of its nonce, in base 64."""
        return base64.b64encode(self._private().sign(nonce.encode()))

    def _private(self) -> Ed25519PrivateKey:
        # Imported here: most processes have no NKey, and it would be a fifth of the start of `busctl`.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.raw)


def _checksum(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(CHECKSUM, "little")
