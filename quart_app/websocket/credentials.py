"""The token that the HTTP request of a WebSocket brings: in a header, or in a cookie, and never in its URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quart_app.errors import Unauthorized


def bearer(headers: Sequence[str]) -> str | None:
    """The token of `Authorization: Bearer` (RFC 6750 section 2.1); None when there is none, or another scheme's.

    Args:
        headers: the `Authorization` headers of the request.

    Raises:
        Unauthorized: there are several, of which proxies and servers choose differently.
    """
    if len(headers) > 1:
        raise Unauthorized("there are several Authorization headers; send one")
    scheme, _, token = headers[0].partition(" ") if headers else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None


def from_cookie(cookies: Mapping[str, str], name: str | None) -> str | None:
    """The token of the cookie of this name; None when there is none, or no cookie is looked at."""
    return (cookies.get(name) or None) if name is not None else None
