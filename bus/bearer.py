"""Whether an HTTP request brings the token that is asked for, as `Authorization: Bearer` (RFC 6750)."""

from __future__ import annotations

from hmac import compare_digest

from pydantic import SecretStr


def brings(token: SecretStr | None, authorization: str) -> bool:
    """Whether a header has the token, in a time that does not tell how much of it is right.

    Args:
        token: the one that is asked for; None when everybody may come. An empty one nobody has.
        authorization: the header, its bytes as Latin-1; empty when there is none.
    """
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    wanted = token.get_secret_value().strip().encode()
    return bool(wanted) and scheme.lower() == "bearer" and compare_digest(given.strip().encode("latin-1"), wanted)
